"""The model object: limits, similarity, tokens, space ids, and methods that torch modules have."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import SentenceTransformer


def exact_similarity(name: str, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the similarity of all pairs in float64."""
    a, b = a.astype(np.float64)[:, np.newaxis], b.astype(np.float64)[np.newaxis]
    if name == "euclidean":
        return np.asarray(-np.sqrt(((a - b) ** 2).sum(axis=-1)))
    if name == "manhattan":
        return np.asarray(-np.abs(a - b).sum(axis=-1))
    dots = (a * b).sum(axis=-1)
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray(dots / lengths if name == "cosine" else dots)


@pytest.fixture
def own(model: SentenceTransformer) -> SentenceTransformer:
    """Return a copy of the model whose settings may be changed."""
    return copy.copy(model)


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity(own: SentenceTransformer, sentences: list[str], name: str) -> None:
    own.similarity_fn_name = name
    a, b = own.encode(sentences[:4]), own.encode(sentences[3:9])
    exact = exact_similarity(name, a, b)
    found = own.similarity(a, b)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=2e-5)
    assert own.similarity(a[1], b).shape == (1, 6)
    np.testing.assert_allclose(own.similarity(list(a), b[2]), exact[:, 2:3], rtol=1e-5, atol=2e-5)
    pairs = own.similarity_pairwise(a, b[:4])
    assert pairs.dtype == np.float32
    np.testing.assert_allclose(pairs, np.diag(exact[:, :4]), rtol=1e-5, atol=2e-5)
    assert own.similarity(a[:0], b).shape == (0, 6)


def test_similarity_of_what_does_not_fit(own: SentenceTransformer) -> None:
    with pytest.raises(ValueError, match="3 and 4 dimensions"):
        own.similarity(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="2, 3"):
        own.similarity_pairwise(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"'maxsim'.*cosine, dot, euclidean, manhattan"):
        own.similarity_fn_name = "maxsim"
    assert own.similarity_fn_name == "cosine"
    assert not np.isnan(own.similarity(np.zeros((1, 3)), np.ones((1, 3)))).any()


def test_token_limit(own: SentenceTransformer) -> None:
    assert own.max_seq_length == own.get_max_seq_length() == 512
    text = "one two three four five"
    whole = own.encode(text)
    own.max_seq_length = 5  # [CLS], three words, [SEP]
    assert own.encode(text).tobytes() == own.encode("one two three").tobytes()
    own.max_seq_length = 512
    assert own.encode(text).tobytes() == whole.tobytes()
    for wrong, error, message in [
        (513, ValueError, "512 positions"),
        (1, ValueError, "at least 2"),
        (0, ValueError, "positive"),
        (None, TypeError, "None"),
    ]:
        with pytest.raises(error, match=message):
            own.max_seq_length = wrong  # type: ignore[assignment]
    assert own.max_seq_length == 512


def test_embeddings_truncated_for_a_while(own: SentenceTransformer) -> None:
    whole = own.encode("a text")
    with own.truncate_embeddings(16):
        assert own.get_embedding_dimension() == 16
        assert own.encode("a text").tobytes() == whole[:16].tobytes()
        assert own.encode("a text", truncate_dim=8).tobytes() == whole[:8].tobytes()
        with own.truncate_embeddings(None):
            assert own.get_embedding_dimension() == 384
        assert own.get_embedding_dimension() == 16
    assert own.get_embedding_dimension() == 384
    with pytest.raises(KeyError), own.truncate_embeddings(16):
        raise KeyError
    with pytest.raises(ValueError, match="truncate_dim"), own.truncate_embeddings(0):
        pass
    assert own.truncate_dim is None


def test_embedding_dimension(model: SentenceTransformer) -> None:
    assert model.get_embedding_dimension() == 384
    with pytest.warns(DeprecationWarning, match="get_embedding_dimension") as caught:
        assert model.get_sentence_embedding_dimension() == 384
    assert caught[0].filename == __file__
    assert SentenceTransformer(truncate_dim=64).get_embedding_dimension() == 64


def test_tokenize(model: SentenceTransformer, sentences: list[str]) -> None:
    features = model.tokenize(sentences)
    assert set(features) == {"input_ids", "token_type_ids", "attention_mask"}
    expected = [encoding.ids for encoding in model.tokenizer.encode_batch(sentences)]
    longest = max(map(len, expected))
    for array in features.values():
        assert array.shape == (len(sentences), longest)
        assert array.dtype == np.int64
    for ids, mask, row in zip(
        expected, features["attention_mask"], features["input_ids"], strict=True
    ):
        assert mask.tolist() == [1] * len(ids) + [0] * (longest - len(ids))
        assert row.tolist() == ids + [0] * (longest - len(ids))
    assert not features["token_type_ids"].any()
    assert model.tokenize([])["input_ids"].shape == (0, 0)
    assert model.preprocess("ok")["input_ids"].shape == (1, 3)


def test_count_tokens(own: SentenceTransformer) -> None:
    own.max_seq_length = 6
    use = own.count_tokens(["", "one two", "one two three four", "one two three four five"])
    assert use.used.tolist() == [2, 4, 6, 6]
    assert use.truncated.tolist() == [False, False, False, True]
    own.prompts = {"query": "so: "}
    assert own.count_tokens(["one two three"], prompt_name="query").truncated.tolist() == [True]
    assert own.count_tokens([]).used.shape == (0,)


def test_the_tokenizer_given_out_is_a_copy(model: SentenceTransformer) -> None:
    before = model.encode("A text")
    tokenizer = model.tokenizer
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=40)
    assert model.encode("A text").tobytes() == before.tobytes()
    assert model.count_tokens("A text").used.tolist() == [4]


def test_space_id_names_all_that_decides(own: SentenceTransformer, tiny_folder: Path) -> None:
    ids = [
        own.space_id,
        own.space_id_of(normalize_embeddings=True),
        own.space_id_of(truncate_dim=100),
        *(own.space_id_of(precision=name) for name in ("int8", "uint8", "binary", "ubinary")),
        SentenceTransformer(compute_type="float32").space_id,
        SentenceTransformer(tiny_folder).space_id,
    ]
    assert len(set(ids)) == len(ids)
    assert own.space_id == SentenceTransformer(threads=1).space_id
    with own.truncate_embeddings(100):
        assert own.space_id == ids[2]
    for ingredient in ("compute=int8", "numerics=", "pooling=mean", "dimensions=384"):
        assert ingredient in own.space_id
    with pytest.raises(ValueError, match="'int4'"):
        own.space_id_of(precision="int4")


def test_what_it_says_of_itself(own: SentenceTransformer) -> None:
    assert own.device == "cpu"
    assert own.compute_type == "int8"
    assert own.threads == 2
    for part in ("bge-micro-v2", "int8", "dimensions=384", f"isa='{own.isa}'", "threads=2"):
        assert part in repr(own)


def test_calls_of_torch_modules(own: SentenceTransformer) -> None:
    assert own.to("cpu") is own
    assert own.to(None) is own
    assert own.eval() is own
    with pytest.raises(ValueError, match="'cuda'"):
        own.to("cuda")
    with pytest.raises(ValueError, match="compute_type"):
        own.half()
    with pytest.raises(ValueError, match="threads"):
        own.start_multi_process_pool(["cpu", "cpu"])
    with pytest.raises(ValueError, match="threads"):
        own.stop_multi_process_pool({})
    for absent in ("cuda", "fit", "push_to_hub", "train", "state_dict"):
        assert not hasattr(own, absent)


def test_progress_bar(model: SentenceTransformer, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm", reason="needs the extra bge-micro[progress]")
    model.encode(["a", "b"])
    assert capsys.readouterr().err == ""
    model.encode(["a", "b"], show_progress_bar=True)
    assert "2/2" in capsys.readouterr().err
    model.encode(["a", "b"], show_progress_bar=True, output_value="token_embeddings")
    assert "2/2" in capsys.readouterr().err


def test_ids_of_a_plan_give_the_vectors_of_the_texts() -> None:
    model = SentenceTransformer()
    texts = ["a cat", "", "long " * 600]
    plan = model.plan(prompt="say: ")
    batch = model.token_ids(texts, plan)
    ids = np.split(batch.ids, batch.offsets[1:-1])
    by_ids = model.run(ids, plan._replace(prompt="")).vectors
    assert by_ids.tobytes() == model.encode(texts, prompt="say: ").tobytes()
    assert batch.truncated.tolist() == [False, False, True]
