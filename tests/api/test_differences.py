"""Differences from sentence-transformers 6: each row of the table in docs/ has a test."""

# ruff: noqa: E501  (a row of a Markdown table is one line)

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from bge_micro.checkpoint import bundled_folder

PAGE = Path(__file__).resolve().parents[2] / "docs" / "differences.md"


# Name of the test below -> the row that it tests, in the page's Markdown.
DIFFERENCES = {
    "names": '| `SentenceTransformer("TaylorAI/bge-micro-v2")` | downloads it, or loads it from the cache | the copy inside the package; `revision=` or `source="cache"` loads the local cache\'s |',
    "other_hub_names": "| other names on the hub | downloaded, weights in any format | downloaded, by the extra `hub`: the few files that are needed, safetensors, or an ONNX export if there are none or `file_name=` names it |",
    "same_bits": "| a text alone and in a batch | differ in the last digits | the same bits, in any batch and order and with any number of threads |",
    "empty": "| `encode([])` | shape `(0,)` | shape `(0, 384)` |",
    "bad_rows": '| None, NaN and other rows that are not strings | an internal error, or none | an error that names the rows, before any work; or `errors="replace"`, `"skip"` |',
    "surrogates": "| lone surrogates | TypeError | count as U+FFFD |",
    "other_containers": "| sets, iterators, dicts, images, audio | one input | TypeError; `encode_iter` takes iterators |",
    "truncation": '| texts longer than `max_seq_length` | cut silently | the same, or `truncation="warn"`, `"error"`; `count_tokens` tells which |',
    "eight_bits": '| `precision="int8"`, `"uint8"` | by the batch\'s ranges; ValueError for one text | each vector alone: round(127 x / max abs x), `uint8` plus 128 |',
    "ranges": "| `ranges=` | of `quantize_embeddings` | of `encode`, with the same formula |",
    "lists": "| `convert_to_numpy=False` | a list of tensors | a list of NumPy arrays |",
    "tensors": "| `convert_to_tensor=True` | a tensor | a tensor; needs torch |",
    "token_embeddings": '| `output_value="token_embeddings"` | tensors; `precision` applies | NumPy arrays; float32 only |',
    "everything": "| `output_value=None` | dicts of tensors, padded, not normalised | dicts of NumPy arrays, not padded; normalised if requested |",
    "truncate_dim": "| `truncate_dim` of zero or less | as in a slice | ValueError |",
    "batch_size": "| `batch_size` | texts of a batch | checked, but without effect |",
    "processes": "| lists of devices, `pool`, `chunk_size`, `start_multi_process_pool` | processes share the work | ValueError; threads share it, see `threads=` |",
    "devices": "| devices other than `cpu` | used | ValueError |",
    "torch_options": '| `backend`, `model_kwargs`, `processor_kwargs`, `config_kwargs`, `modules`, `trust_remote_code`, `model_card_data` | used | ValueError if they request something; `backend="torch"` is accepted, and `model_kwargs={"file_name": ...}` with or without `backend="onnx"` loads this export |',
    "call_options": "| `encode(task=..., processing_kwargs=...)` | used | ValueError, as for unknown names |",
    "similarity": "| `similarity`, `similarity_pairwise` | tensors | tensors for tensors, float32 NumPy arrays for all else |",
    "util": "| `util` | `sentence_transformers.util` | `bge_micro.util` has `cos_sim`, `dot_score`, `semantic_search`, `paraphrase_mining`, `community_detection`, `normalize_embeddings`, `quantize_embeddings`; tensors for tensors |",
    "isinstance": "| BERTopic, KeyBERT and others that ask for the class | use the model | load their own default model without a word; give them a class of `bge_micro.integrations` |",
    "tokenize": "| `tokenize`, `preprocess` | tensors | int64 NumPy arrays |",
    "tokenizer": "| `tokenizer` | transformers' own; changes have effect | a copy, a `tokenizers.Tokenizer`; cannot be set |",
    "token_limit": "| `max_seq_length` above the model's positions | fails later | ValueError |",
    "modules": "| training, calling the model as a module | a `torch.nn.Module` | not there; `half()` raises ValueError |",
    "saving": '| `save_pretrained` | overwrites; writes a model card; `model_name`, `create_model_card`, `safe_serialization` | into a new or empty folder; `compute_type="int8"` for one that only this package reads, and no other keyword |',
    "old_name": "| `get_sentence_embedding_dimension` | FutureWarning | DeprecationWarning |",
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_row_has_its_test(name: str) -> None:
    assert callable(globals().get(f"test_{name}"))
    assert DIFFERENCES[name].count("|") == 4


def test_the_page_has_the_rows() -> None:
    if not PAGE.exists():
        pytest.skip("docs/differences.md is part of a checkout only")
    text = PAGE.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert rows == list(DIFFERENCES.values())


def test_names(model: SentenceTransformer, tmp_path: Path) -> None:
    hub_name = SentenceTransformer("TaylorAI/bge-micro-v2", cache_folder=tmp_path)
    assert hub_name.encode("a").tobytes() == model.encode("a").tobytes()
    asked: list[dict[str, Any]] = [{"revision": "main"}, {"source": "cache"}]
    for options in asked:
        with pytest.raises(FileNotFoundError, match="models--TaylorAI--bge-micro-v2"):
            SentenceTransformer("TaylorAI/bge-micro-v2", cache_folder=tmp_path, **options)


def test_other_hub_names(tmp_path: Path) -> None:
    accepted: list[dict[str, Any]] = [{}, {"token": "secret"}, {"local_files_only": True}]
    for options in accepted:
        with pytest.raises(FileNotFoundError, match="models--org--name"):
            SentenceTransformer("org/name", cache_folder=tmp_path, **options)


def test_same_bits(model: SentenceTransformer, sentences: list[str]) -> None:
    batch = model.encode(sentences, threads=2)
    assert model.encode(sentences[4], threads=1).tobytes() == batch[4].tobytes()


def test_empty(model: SentenceTransformer) -> None:
    assert model.encode([]).shape == (0, 384)


def test_bad_rows(model: SentenceTransformer) -> None:
    with pytest.raises(ValueError, match="row 1 is None"):
        model.encode(["a", None])
    with pytest.raises(TypeError, match="row 1 is int 3"):
        model.encode(["a", 3])
    assert model.encode(["a", None], errors="replace").shape == (2, 384)
    assert model.encode(["a", None], errors="skip").shape == (1, 384)


def test_surrogates(model: SentenceTransformer) -> None:
    assert model.encode("a\ud800").tobytes() == model.encode("a\ufffd").tobytes()


def test_other_containers(model: SentenceTransformer) -> None:
    for inputs in ({"a"}, iter("a"), {"text": "a"}, {"array": [0.1], "sampling_rate": 16_000}):
        with pytest.raises(TypeError):
            model.encode(inputs)
    assert next(model.encode_iter(iter("a"))).shape == (1, 384)


def test_truncation(model: SentenceTransformer) -> None:
    text = "word " * 600
    assert model.encode(text).tobytes() == model.encode(text + "more").tobytes()
    with pytest.warns(UserWarning, match="more than 512 tokens"):
        model.encode(text, truncation="warn")
    with pytest.raises(ValueError, match="more than 512 tokens"):
        model.encode(text, truncation="error")
    assert model.count_tokens(["word", text]).truncated.tolist() == [False, True]


def test_eight_bits(model: SentenceTransformer, sentences: list[str]) -> None:
    alone = model.encode("ok", precision="int8")
    assert alone.tobytes() == model.encode([*sentences, "ok"], precision="int8")[-1].tobytes()
    assert np.abs(alone.astype(int)).max() == 127
    unsigned = model.encode("ok", precision="uint8").astype(int)
    assert (unsigned == alone.astype(int) + 128).all()


def test_ranges(model: SentenceTransformer) -> None:
    ranges = np.stack([np.full(384, -1.0), np.full(384, 1.0)])
    levels = np.floor((model.encode("ok") + np.float32(1)) / np.float32(2 / 255))
    expected = np.clip(levels, 0, 255)
    found = model.encode("ok", precision="uint8", ranges=ranges)
    assert (found == expected).all()


def test_lists(model: SentenceTransformer) -> None:
    rows = model.encode(["a", "b"], convert_to_numpy=False)
    assert [type(row) for row in rows] == [np.ndarray, np.ndarray]


def test_tensors(model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install torch"):
        model.encode("a", convert_to_tensor=True)


def test_token_embeddings(model: SentenceTransformer) -> None:
    rows = model.encode("ok", output_value="token_embeddings")
    assert isinstance(rows, np.ndarray)
    with pytest.raises(ValueError, match="precision"):
        model.encode("ok", output_value="token_embeddings", precision="int8")


def test_everything(model: SentenceTransformer) -> None:
    options: dict[str, Any] = {"output_value": None, "normalize_embeddings": True}
    short, long = model.encode(["ok", "some more words"], **options)
    assert {type(array) for array in short.values()} == {np.ndarray}
    assert len(short["input_ids"]) < len(long["input_ids"])
    assert np.linalg.norm(short["sentence_embedding"]) == pytest.approx(1)


def test_truncate_dim(model: SentenceTransformer) -> None:
    for dimensions in (0, -2):
        with pytest.raises(ValueError, match="truncate_dim"):
            model.encode("a", truncate_dim=dimensions)


def test_batch_size(model: SentenceTransformer, sentences: list[str]) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        model.encode(sentences, batch_size=0)
    assert np.array_equal(model.encode(sentences, batch_size=1), model.encode(sentences))


def test_processes(model: SentenceTransformer) -> None:
    wishes: list[dict[str, Any]] = [{"device": ["cpu", "cpu"]}, {"pool": {}}, {"chunk_size": 4}]
    for options in wishes:
        with pytest.raises(ValueError, match="threads"):
            model.encode(["a"], **options)
    with pytest.raises(ValueError, match="threads"):
        model.start_multi_process_pool()


def test_devices(model: SentenceTransformer) -> None:
    with pytest.raises(ValueError, match="'cuda:0'"):
        model.encode("a", device="cuda:0")
    with pytest.raises(ValueError, match="'mps'"):
        SentenceTransformer(device="mps")


def test_torch_options() -> None:
    nothing: dict[str, Any] = {"model_kwargs": {}, "modules": None, "trust_remote_code": False}
    assert SentenceTransformer(backend="torch", **nothing).cpu().device == "cpu"
    for name in re.findall(r"`(\w+)`", DIFFERENCES["torch_options"].split("used")[0]):
        with pytest.raises(ValueError, match=name):
            SentenceTransformer(**dict[str, Any]({name: {"a": 1}}))


def test_call_options(model: SentenceTransformer) -> None:
    for name in ("task", "processing_kwargs", "colour"):
        with pytest.raises(ValueError, match=f"'{name}'"):
            model.encode("a", **dict[str, Any]({name: "query"}))


def test_similarity(model: SentenceTransformer) -> None:
    scores = model.similarity(model.encode(["a", "b"]), model.encode(["a"]))
    assert isinstance(scores, np.ndarray)
    assert scores.dtype == np.float32
    torch = pytest.importorskip("torch", reason="torch is not installed")
    assert isinstance(model.similarity(torch.ones(2, 3), np.ones((1, 3))), torch.Tensor)
    assert isinstance(model.similarity_pairwise(torch.ones(2, 3), torch.ones(2, 3)), torch.Tensor)


def test_util() -> None:
    from bge_micro import util

    for name in re.findall(r"`([a-z_]+)`", DIFFERENCES["util"].split("has")[1]):
        assert callable(getattr(util, name))


def test_isinstance() -> None:
    """The tests of the integrations have BERTopic and KeyBERT."""
    real = pytest.importorskip("sentence_transformers", reason="it is not installed")
    from bge_micro.integrations import sentence_transformers as ours

    assert not isinstance(SentenceTransformer(), real.SentenceTransformer)
    assert isinstance(ours.SentenceTransformer(), real.SentenceTransformer)


def test_tokenize(model: SentenceTransformer) -> None:
    for features in (model.tokenize(["a", "b c"]), model.preprocess(["a", "b c"])):
        assert {(type(array), array.dtype.name) for array in features.values()} == {
            (np.ndarray, "int64")
        }


def test_tokenizer(model: SentenceTransformer) -> None:
    assert type(model.tokenizer).__module__.startswith("tokenizers")
    assert model.tokenizer is not model.tokenizer
    with pytest.raises(AttributeError):
        model.tokenizer = model.tokenizer  # type: ignore[misc]


def test_token_limit() -> None:
    with pytest.raises(ValueError, match="512 positions"):
        SentenceTransformer(bundled_folder()).max_seq_length = 513


def test_modules(model: SentenceTransformer) -> None:
    for name in ("fit", "train", "forward", "__call__", "modules"):
        assert not hasattr(model, name)
    with pytest.raises(ValueError, match="compute_type"):
        model.half()


def test_saving(model: SentenceTransformer, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "out", compute_type="int8")
    with pytest.raises(FileExistsError):
        model.save_pretrained(tmp_path / "out")
    with pytest.raises(TypeError, match="safe_serialization"):
        model.save_pretrained(tmp_path / "other", safe_serialization=True)  # type: ignore[call-arg]
    assert (
        SentenceTransformer(tmp_path / "out").encode("a").tobytes() == model.encode("a").tobytes()
    )
    assert "Converted by" in (tmp_path / "out/README.md").read_text("utf-8")


def test_old_name(model: SentenceTransformer) -> None:
    with pytest.warns(DeprecationWarning, match="get_embedding_dimension"):
        model.get_sentence_embedding_dimension()
