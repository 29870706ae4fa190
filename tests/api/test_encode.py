"""encode's arguments and results: shapes, order, prompts, refused options."""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from api.tiny_model import write_tiny_model
from bge_micro import SentenceTransformer

# The parameters of sentence-transformers 6.2, in order, with their defaults.
PARAMETERS = [
    ("inputs", inspect.Parameter.empty),
    ("prompt_name", None),
    ("prompt", None),
    ("batch_size", 32),
    ("show_progress_bar", None),
    ("output_value", "sentence_embedding"),
    ("precision", "float32"),
    ("convert_to_numpy", True),
    ("convert_to_tensor", False),
    ("device", None),
    ("normalize_embeddings", False),
    ("truncate_dim", None),
    ("pool", None),
    ("chunk_size", None),
]
NO_TORCH = importlib.util.find_spec("torch") is None


class Column:
    """The part of a pandas Series or a datasets.Column that encode needs: length and iteration."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)


@pytest.fixture(scope="module")
def vectors(model: SentenceTransformer, sentences: list[str]) -> NDArray[np.float32]:
    return model.encode(sentences)


@pytest.fixture(scope="module")
def prompted(tiny_folder: Path) -> SentenceTransformer:
    """Return a model with the prompts "query" and "document", and a default one."""
    return SentenceTransformer(tiny_folder, prompts={"other": "d "}, default_prompt_name="other")


def test_a_list_gives_a_row_a_text(vectors: NDArray[Any], sentences: list[str]) -> None:
    assert vectors.shape == (len(sentences), 384)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert np.isfinite(vectors).all()
    assert vectors[0].tobytes() == vectors[-1].tobytes()  # the same sentence
    assert len(np.unique(vectors, axis=0)) == len(sentences) - 1


@pytest.mark.parametrize(
    "kind",
    [tuple, np.array, lambda rows: np.array(rows, object), Column, dict.fromkeys],
    ids=["tuple", "unicode array", "object array", "column", "dict values"],
)
def test_other_sequences_are_lists_too(model: SentenceTransformer, kind: Any) -> None:
    rows = ["one", "two words", "three words here"]
    given = kind(rows)
    if isinstance(given, dict):
        given = {key: key for key in rows}.values()
    assert model.encode(given).tobytes() == model.encode(rows).tobytes()


@pytest.mark.parametrize("kind", [str, np.str_, np.array], ids=["str", "np.str_", "0-d array"])
def test_one_string_gives_one_vector(
    model: SentenceTransformer, vectors: NDArray[Any], sentences: list[str], kind: Any
) -> None:
    vector = model.encode(kind(sentences[2]))
    assert vector.shape == (384,)
    assert vector.dtype == np.float32
    assert vector.tobytes() == vectors[2].tobytes()


def test_every_text_alone_in_any_order_and_batch(
    model: SentenceTransformer, vectors: NDArray[Any], sentences: list[str]
) -> None:
    alone = np.stack([model.encode(text) for text in sentences])
    assert alone.tobytes() == vectors.tobytes()
    order = np.random.default_rng(3).permutation(len(sentences))
    shuffled = model.encode([sentences[row] for row in order], batch_size=2, threads=1)
    assert shuffled.tobytes() == vectors[order].tobytes()


def test_no_texts_give_no_rows(model: SentenceTransformer) -> None:
    nothings: list[Any] = [[], (), np.array([], "U1"), Column([])]
    for empty in nothings:
        assert model.encode(empty).shape == (0, 384)
    assert model.encode([], truncate_dim=10, precision="binary").shape == (0, 2)
    assert model.encode([], precision="int8").dtype == np.int8
    assert model.encode([], output_value="token_embeddings") == []
    assert model.encode([], convert_to_numpy=False) == []


def test_both_names_of_the_inputs(model: SentenceTransformer) -> None:
    expected = model.encode("a text").tobytes()
    for method in (model.encode, model.encode_query, model.encode_document):
        assert method(inputs="a text").tobytes() == expected
        assert method(sentences="a text").tobytes() == expected
        with pytest.raises(TypeError, match="inputs"):
            method("a text", sentences="a text")
        with pytest.raises(TypeError, match="inputs"):
            method()


def test_positional_parameters_are_those_of_sentence_transformers(
    model: SentenceTransformer,
) -> None:
    found = [
        parameter
        for parameter in inspect.signature(model.encode).parameters.values()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    assert [parameter.name for parameter in found] == [name for name, _ in PARAMETERS]
    assert [parameter.default for parameter in found[1:]] == [value for _, value in PARAMETERS[1:]]


def test_all_parameters_by_position(model: SentenceTransformer) -> None:
    given = ("b", None, "a ", 8, False, "sentence_embedding", "int8", True, False, "cpu", True, 6)
    expected = model.encode("a b", precision="int8", normalize_embeddings=True, truncate_dim=6)
    for method in (model.encode, model.encode_query, model.encode_document):
        assert method(*given, None, None).tobytes() == expected.tobytes()


def test_lists_instead_of_arrays(
    model: SentenceTransformer, vectors: NDArray[Any], sentences: list[str]
) -> None:
    rows = model.encode(sentences, convert_to_numpy=False)
    assert isinstance(rows, list)
    assert [row.tobytes() for row in rows] == [row.tobytes() for row in vectors]
    assert model.encode("ok", convert_to_numpy=False).shape == (384,)


@pytest.mark.skipif(not NO_TORCH, reason="torch is installed")
def test_tensors_without_torch(model: SentenceTransformer) -> None:
    with pytest.raises(ImportError, match="pip install torch"):
        model.encode("a", convert_to_tensor=True)
    out = np.zeros((1, 384), np.float32)
    with pytest.raises(ImportError, match="torch"):
        model.encode(["a"], convert_to_tensor=True, out=out)
    assert not out.any(), "the work was done before the missing package was noticed"


@pytest.mark.skipif(NO_TORCH, reason="torch is not installed")
def test_tensors_with_torch(model: SentenceTransformer) -> None:
    tensor = model.encode(["a", "b"], convert_to_tensor=True)
    assert tensor.numpy().tobytes() == model.encode(["a", "b"]).tobytes()


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_size_must_be_positive(model: SentenceTransformer, batch_size: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size is {batch_size}"):
        model.encode("a", batch_size=batch_size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": "red"}, "'colour'.*inputs, prompt_name, .*, chunk_size, sentences, ranges"),
        ({"pool": {"input": 1}}, "threads"),
        ({"chunk_size": 8}, "threads"),
        ({"device": "cuda"}, "'cuda'.*CPU only"),
        ({"device": ["cpu", "cpu"]}, "threads="),
        ({"precision": "int4"}, "'int4'.*float32, int8, uint8, binary, ubinary"),
        ({"output_value": "cls"}, "'cls'.*sentence_embedding"),
        ({"errors": "ignore"}, "strict, replace, skip"),
        ({"truncation": "left"}, "silent, warn, error"),
        ({"truncate_dim": 0}, "truncate_dim is 0"),
        ({"truncate_dim": -3}, "truncate_dim is -3"),
        ({"prompt_name": "colour"}, "'colour'.*'query', 'document'"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": 100_000}, "threads is 100000"),
        ({"precision": "int8", "output_value": "token_embeddings"}, "sentence embeddings only"),
        ({"ranges": np.zeros((2, 384)), "output_value": None}, "sentence embeddings only"),
    ],
)
def test_refused_options(model: SentenceTransformer, options: dict[str, Any], message: str) -> None:
    for method in (model.encode, model.encode_query, model.encode_document):
        with pytest.raises(ValueError, match=message):
            method("a", **options)


@pytest.mark.parametrize("name", ["batch_size", "truncate_dim", "threads"])
@pytest.mark.parametrize("value", ["2", 2.0, True])
def test_numbers_must_be_integers(model: SentenceTransformer, name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=name):
        model.encode("a", **{name: value})


def test_prompts_stand_before_the_text(prompted: SentenceTransformer) -> None:
    def bare(text: str) -> bytes:
        return bytes(prompted.encode(text, prompt="").tobytes())

    assert prompted.encode("e").tobytes() == bare("d e")
    assert prompted.encode(["e"], prompt_name="query").tobytes() == bare("a b e")
    assert prompted.encode("e", prompt="f ").tobytes() == bare("f e")
    assert prompted.encode("e", prompt_name="query", prompt="f ").tobytes() == bare("f e")
    with pytest.raises(ValueError, match=r"'answer'.*'query', 'document', 'other'"):
        prompted.encode("e", prompt_name="answer")
    with pytest.raises(TypeError, match="prompt is 5, expected a string"):
        prompted.encode("e", prompt=5)  # type: ignore[call-overload]


def test_queries_and_documents_have_their_prompts(prompted: SentenceTransformer) -> None:
    query, document = prompted.encode_query, prompted.encode_document
    bare = {text: prompted.encode(text, prompt="").tobytes() for text in ("a b e", "c e", "f e")}
    assert query("e").tobytes() == bare["a b e"]
    assert document("e").tobytes() == bare["c e"]
    # Only a prompt given by the caller replaces them, whatever the other options are.
    assert query("e", None, None, 16).tobytes() == bare["a b e"]
    assert document("e", None, None, 16).tobytes() == bare["c e"]
    assert query("e", prompt="f ").tobytes() == bare["f e"]
    assert query("e", None, "f ").tobytes() == bare["f e"]
    assert query("e", "document").tobytes() == bare["c e"]


@pytest.mark.parametrize("prompts", [{"query": "", "document": ""}, {}])
def test_queries_and_documents_never_take_the_default_prompt(
    model: SentenceTransformer, prompts: dict[str, str]
) -> None:
    given = SentenceTransformer(prompts={"p": "say: ", **prompts}, default_prompt_name="p")
    assert given.encode("a").tobytes() == model.encode("say: a").tobytes()
    assert given.encode_query("a").tobytes() == model.encode("a").tobytes()
    assert given.encode_document("a").tobytes() == model.encode("a").tobytes()


def test_only_the_documents_prompt_is_the_documents(model: SentenceTransformer) -> None:
    """As in sentence-transformers 6: "document" always exists, so "passage" is never used."""
    given = SentenceTransformer(prompts={"document": "text: ", "passage": "no: "})
    assert given.encode_document("a").tobytes() == model.encode("text: a").tobytes()
    assert given.encode_query("a").tobytes() == model.encode("a").tobytes()
    other = SentenceTransformer(prompts={"passage": "no: "})
    assert other.encode_document("a").tobytes() == model.encode("a").tobytes()


def test_the_bundled_model_has_no_prompts(
    model: SentenceTransformer, vectors: NDArray[Any], sentences: list[str]
) -> None:
    assert model.encode_query(sentences).tobytes() == vectors.tobytes()
    assert model.encode_document(sentences).tobytes() == vectors.tobytes()


def test_a_normalize_module_comes_before_truncation(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"})
    plain = SentenceTransformer(folder).encode("a b c")
    (folder / "modules.json").write_text(json.dumps(modules))
    model = SentenceTransformer(folder)
    unit = model.encode("a b c")
    assert np.allclose(unit, plain / np.linalg.norm(plain), rtol=1e-6)
    cut = model.encode("a b c", truncate_dim=24)
    assert cut.tobytes() == unit[:24].tobytes()
    assert np.linalg.norm(cut) < 0.9
    both = model.encode("a b c", truncate_dim=24, normalize_embeddings=True)
    assert np.allclose(both, cut / np.linalg.norm(cut), rtol=1e-6)
