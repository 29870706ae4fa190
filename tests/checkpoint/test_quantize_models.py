"""Quantising models: smoothing, second-order rounding, the same bits on all CPUs and threads."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_packages import minilm_folder
from numpy.typing import NDArray

import reference
from api.tiny_model import CONFIG, tiny_tensors, write_tiny_model
from bge_micro import SentenceTransformer, _core
from bge_micro.checkpoint.tensors import all_linears
from bge_micro.quantize import dequantize_checkpoint, quantize_checkpoint, quantize_rows
from bge_micro.quantize.float_encoder import FloatEncoder
from bge_micro.quantize.ordered import gram, subtract_product, upper_factor
from bge_micro.quantize.second_order import round_second_order
from bge_micro.quantize.smoothing import smoothing_factor
from bge_micro.tokenization import RaggedBatch, replace_surrogates
from properties import examples

Tensors = dict[str, NDArray[Any]]


def batch_of(lengths: list[int], vocab: int, seed: int = 0) -> RaggedBatch:
    ids = np.random.default_rng(seed).integers(0, vocab, sum(lengths)).astype(np.int32)
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    return RaggedBatch(ids, offsets, np.zeros(len(lengths), np.bool_))


def with_outliers(tensors: Tensors) -> Tensors:
    """Return a model with a few features far larger than the others, as trained models have."""
    result = dict(tensors)
    for name in tensors:
        if name.endswith("LayerNorm.weight"):
            result[name] = tensors[name].copy()
            result[name][[3, 40]] *= 30
    return result


def digest(tensors: Tensors) -> str:
    whole = hashlib.sha256()
    for name in sorted(tensors):
        whole.update(name.encode() + tensors[name].tobytes())
    return whole.hexdigest()


def test_float_encoder_is_the_model() -> None:
    batch = batch_of([5, 1, 17], CONFIG.vocab)
    tensors = tiny_tensors()
    encoder = FloatEncoder(tensors, CONFIG, batch)
    rows = encoder.embed()
    expected = [
        reference.embed(tensors, batch.ids[a:b].tolist(), CONFIG)
        for a, b in pairwise(batch.offsets)
    ]
    np.testing.assert_allclose(rows, np.concatenate(expected), atol=1e-5)


@given(st.integers(1, 300), st.integers(1, 4), st.integers(0, 9))
@examples(20)
def test_gram(rows: int, width: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(rows * 4, width * 64)).astype(np.float32)
    exact = x.astype(np.float64).T @ x
    np.testing.assert_allclose(gram(x, ""), exact, atol=1e-6 * np.abs(exact).max() + 1e-5)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
def test_upper_factor(size: int) -> None:
    half = np.random.default_rng(size).normal(size=(size + 20, size))
    matrix = half.T @ half
    factor = upper_factor(matrix.copy())
    assert (np.tril(factor, -1) == 0).all()
    assert (np.diag(factor) == 1).all()
    diagonal = np.linalg.solve(factor, np.linalg.solve(factor, matrix).T)
    off = diagonal - np.diag(np.diag(diagonal))
    assert np.abs(off).max() < 1e-9 * np.abs(matrix).max()


def test_bits_do_not_depend_on_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    half = rng.normal(size=(150, 130))
    target, left, right = (rng.normal(size=s) for s in ((150, 170), (150, 9), (9, 170)))
    results = set()
    for block, tile in ((64, 144), (1, 7), (200, 1000)):
        monkeypatch.setattr("bge_micro.quantize.ordered.BLOCK", block)
        monkeypatch.setattr("bge_micro.quantize.ordered._TILE", tile)
        changed = target.copy()
        subtract_product(changed, left, right)
        results.add(upper_factor(half.T @ half).tobytes() + changed.tobytes())
    assert len(results) == 1


def test_not_positive_definite() -> None:
    with pytest.raises(ValueError, match="not positive definite"):
        upper_factor(np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_second_order_beats_rounding() -> None:
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(900, 128)) @ rng.normal(size=(128, 128))  # correlated features
    weight = rng.normal(size=(64, 128)).astype(np.float32)

    def error(values: NDArray[np.int8], scale: NDArray[np.float32]) -> float:
        off = values * scale[:, None].astype(np.float64) - weight
        return float(np.square(inputs @ off.T).sum())

    plain = error(*quantize_rows(weight))
    values, scale = round_second_order(weight, inputs.T @ inputs)
    assert np.abs(values).max() <= 127
    assert error(values, scale) < 0.6 * plain


def test_inputs_that_never_occur() -> None:
    weight = np.random.default_rng(3).normal(size=(16, 64)).astype(np.float32)
    values, scale = round_second_order(weight, np.zeros((64, 64)))
    assert values.tobytes() == quantize_rows(weight)[0].tobytes()
    assert np.isfinite(scale).all()


def test_smoothing_factor() -> None:
    peaks = np.array([4.0, 0.0, 1.0, 1e30, np.float32(1e-30)], np.float32)
    weights = [np.array([[1.0, 1, 0, 1, 1], [-16.0, 1, 0, 1, 1]], np.float32)]
    assert smoothing_factor(peaks, weights).tolist() == [2.0, 1.0, 1.0, 2.0**-10, 2.0**10]
    strong = smoothing_factor(peaks, weights, strong=True)
    assert strong[0] == pytest.approx(16**0.25 / 4**0.75)
    with np.errstate(all="raise"):
        assert np.isfinite(strong).all()


@pytest.mark.parametrize("calibrate", [False, True])
def test_bits_are_the_committed_ones(calibrate: bool) -> None:
    """The same on every machine and instruction set."""
    tensors = with_outliers(tiny_tensors())
    batch = batch_of([9, 3, 30, 1], CONFIG.vocab) if calibrate else None
    expected = DIGESTS[calibrate]
    assert digest(dict(quantize_checkpoint(tensors, CONFIG, batch))) == expected


DIGESTS = {
    False: "3db147c8c14054e012fb2fb2aa404077c5ce63c45ad4107c60b46933167edb34",
    True: "75db8ea638c72a00a3b390df3dc9c754f175a5ec22b4061ea484d03832caf210",
}


@pytest.mark.parametrize("calibrate", [False, True])
def test_every_instruction_set_gives_the_same_bits(
    calibrate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = with_outliers(tiny_tensors())
    batch = batch_of([9, 3, 30, 1], CONFIG.vocab) if calibrate else None
    found = set()
    for isa, usable in _core.instruction_sets():
        if usable:
            monkeypatch.setenv("BGE_MICRO_ISA", isa)
            found.add(digest(dict(quantize_checkpoint(tensors, CONFIG, batch))))
    assert len(found) == 1


def test_smoothing_helps_where_there_are_outliers() -> None:
    """Compared with plain rounding, both run by the core, which also rounds inputs to 8 bits."""
    tensors = with_outliers(tiny_tensors())
    plain = dict(tensors)
    for linear in all_linears(CONFIG):
        values, scale = quantize_rows(tensors[f"{linear.name}.weight"])
        plain |= {f"{linear.name}.weight": values, f"{linear.name}.weight_scale": scale}
    texts = batch_of([8] * 40, CONFIG.vocab, seed=5)
    smoothed = quantize_checkpoint(tensors, CONFIG)
    calibrated = quantize_checkpoint(tensors, CONFIG, batch_of([16] * 60, CONFIG.vocab, seed=6))
    exact = run(tensors, texts, "float32")
    losses = [
        1 - np.mean((run(t, texts, "int8") * exact).sum(axis=1))
        for t in (plain, smoothed, calibrated)
    ]
    assert losses[1] < 0.5 * losses[0]
    assert losses[2] < 0.5 * losses[0]


def run(tensors: Tensors, texts: RaggedBatch, compute_type: str) -> NDArray[np.float64]:
    vectors = np.empty((len(texts.truncated), CONFIG.hidden), np.float32)
    _core.Engine(CONFIG, tensors, compute_type).encode(
        texts.ids,
        texts.offsets,
        pooling="mean",
        dimensions=CONFIG.hidden,
        normalize=True,
        precision="float32",
        threads=1,
        vectors=vectors,
    )
    return vectors.astype(np.float64)


def test_quantised_layers_stay() -> None:
    whole = dict(quantize_checkpoint(tiny_tensors(), CONFIG))
    assert quantize_checkpoint(whole, CONFIG) == whole
    mixed = dict(tiny_tensors())
    name = "encoder.layer.0.attention.self.key"
    for part in ("weight", "weight_scale"):
        mixed[f"{name}.{part}"] = whole[f"{name}.{part}"]
    result = quantize_checkpoint(mixed, CONFIG)
    assert result[f"{name}.weight"] is whole[f"{name}.weight"]
    # Layers that read the same input have a factor together, or none.
    assert "encoder.layer.0.attention.self.query.input_factor" not in result
    assert "encoder.layer.1.attention.self.query.input_factor" in result
    floats = dequantize_checkpoint(result, CONFIG)
    assert all(
        floats[f"{linear.name}.weight"].dtype == np.float32 for linear in all_linears(CONFIG)
    )


def test_no_texts() -> None:
    with pytest.raises(ValueError, match="at least one text"):
        quantize_checkpoint(tiny_tensors(), CONFIG, batch_of([], CONFIG.vocab))


def test_the_first_texts_of_a_batch() -> None:
    batch = batch_of([5, 7, 2], 9)
    assert batch.first(12).ids.tolist() == batch.ids[:12].tolist()
    assert batch.first(13).counts.tolist() == [5, 7]
    assert batch.first(14).counts.tolist() == [5, 7, 2]
    assert batch.first(4).counts.tolist() == []


def test_saved_folders(tmp_path: Path) -> None:
    model = SentenceTransformer(write_tiny_model(tmp_path / "tiny"), prompts={"query": "a "})
    model.default_prompt_name, model.max_seq_length = "query", 20
    texts = ["a b", "c d, e."]
    model.save_pretrained(tmp_path / "int8", compute_type="int8")
    again = SentenceTransformer(tmp_path / "int8")
    assert again.encode(texts).tobytes() == model.encode(texts).tobytes()
    assert (again.prompts, again.max_seq_length) == (model.prompts, 20)
    model.save_pretrained(tmp_path / "float32")
    floats = SentenceTransformer(tmp_path / "float32", compute_type="float32")
    whole = SentenceTransformer(tmp_path / "tiny", compute_type="float32")
    assert floats.encode(texts).tobytes() == whole.encode(texts, prompt="a ").tobytes()
    assert SentenceTransformer(tmp_path / "float32").encode(texts).tobytes() == (
        model.encode(texts).tobytes()
    )
    with pytest.raises(ValueError, match="expected 'float32'"):
        floats.save_pretrained(tmp_path / "more", compute_type="int8")
    with pytest.raises(FileExistsError):
        model.save_pretrained(tmp_path / "int8")


def sentences() -> list[str]:
    path = Path(__file__).resolve().parents[1] / "golden/texts.jsonl"
    lines = path.read_text("utf-8").splitlines()[:300]
    # sentence-transformers refuses lone surrogates, which count as U+FFFD here.
    return [replace_surrogates(json.loads(line)) for line in lines]


@pytest.mark.slow
def test_minilm_in_int8() -> None:
    """300 texts in many scripts lose little; English texts, the model's own language, less."""
    folder = minilm_folder()
    exact = SentenceTransformer(folder, compute_type="float32").encode(sentences())
    cosine = (SentenceTransformer(folder).encode(sentences()) * exact).sum(axis=1)
    assert cosine.mean() >= 0.9985
    assert cosine.min() >= 0.99


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # warnings of sentence-transformers and torch
def test_minilm_against_sentence_transformers(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs sentence-transformers")
    folder = minilm_folder()
    expected = library.SentenceTransformer(str(folder), device="cpu").encode(sentences())
    model = SentenceTransformer(folder, compute_type="float32")
    found = model.encode(sentences())
    assert (found * expected).sum(axis=1).min() >= 0.999999
    model.save_pretrained(tmp_path / "saved")
    again = library.SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(sentences())
    assert (found * again).sum(axis=1).min() >= 0.999999
