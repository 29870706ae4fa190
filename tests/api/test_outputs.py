"""Length, norm and precision of vectors; token embeddings; writing into the caller's arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import SentenceTransformer
from bge_micro.pipeline import Pipeline

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def vectors(model: SentenceTransformer, sentences: list[str]) -> Floats:
    return model.encode(sentences)


def quantize_by_sentence_transformers(
    vectors: Floats, ranges: NDArray[Any], precision: str
) -> NDArray[Any]:
    """Compute what sentence-transformers 6.2's quantize_embeddings gives for int8 and uint8."""
    starts = ranges[0].astype(np.float32)
    steps = (ranges[1].astype(np.float32) - starts) / 255
    steps = np.where(steps == 0, np.float32(1), steps)
    levels = np.clip(np.floor((vectors - starts) / steps), 0, 255)
    quantised: NDArray[Any] = levels if precision == "uint8" else levels - 128
    return quantised.astype(precision)


def test_normalised_vectors(
    model: SentenceTransformer, vectors: Floats, sentences: list[str]
) -> None:
    unit = model.encode(sentences, normalize_embeddings=True)
    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, exact, rtol=1e-6, atol=1e-9)
    assert np.linalg.norm(vectors, axis=1).min() > 2, "the model itself does not normalise"


@pytest.mark.parametrize("dimensions", [1, 5, 16, 100, 384])
def test_truncation_comes_before_normalisation(
    model: SentenceTransformer, vectors: Floats, sentences: list[str], dimensions: int
) -> None:
    cut = model.encode(sentences, truncate_dim=dimensions)
    assert cut.tobytes() == vectors[:, :dimensions].tobytes()
    unit = model.encode(sentences, truncate_dim=dimensions, normalize_embeddings=True)
    exact = vectors[:, :dimensions].astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    np.testing.assert_allclose(unit, exact, rtol=1e-6, atol=1e-9)


def test_a_longer_cut_than_the_vector_leaves_it_whole(
    model: SentenceTransformer, vectors: Floats, sentences: list[str]
) -> None:
    assert model.encode(sentences, truncate_dim=1000).tobytes() == vectors.tobytes()


@pytest.mark.parametrize("options", [{}, {"truncate_dim": 50, "normalize_embeddings": True}])
def test_eight_bits_a_vector(
    model: SentenceTransformer, sentences: list[str], options: dict[str, Any]
) -> None:
    floats = model.encode(sentences, **options).astype(np.float64)
    scaled = 127 * floats / np.abs(floats).max(axis=1, keepdims=True)
    signed = model.encode(sentences, precision="int8", **options)
    assert signed.dtype == np.int8
    # Half a step, plus float32's rounding if the exact value is halfway between two steps.
    assert np.abs(signed - scaled).max() <= 0.5 + 1e-4
    assert (np.abs(signed.astype(int)).max(axis=1) == 127).all()
    unsigned = model.encode(sentences, precision="uint8", **options)
    assert unsigned.dtype == np.uint8
    assert (unsigned.astype(int) == signed.astype(int) + 128).all()


@pytest.mark.parametrize("dimensions", [384, 100, 8, 5, 1])
def test_one_bit_a_dimension(
    model: SentenceTransformer, vectors: Floats, sentences: list[str], dimensions: int
) -> None:
    expected = np.packbits(vectors[:, :dimensions] > 0, axis=1)
    unsigned = model.encode(sentences, precision="ubinary", truncate_dim=dimensions)
    assert unsigned.dtype == np.uint8
    assert (unsigned == expected).all()
    signed = model.encode(sentences, precision="binary", truncate_dim=dimensions)
    assert signed.dtype == np.int8
    assert (signed == (expected.astype(int) - 128)).all()


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_no_precision_depends_on_neighbours(
    model: SentenceTransformer, sentences: list[str], precision: str
) -> None:
    batch = model.encode(sentences, precision=precision)
    alone = [model.encode(text, precision=precision) for text in sentences]
    assert [row.tobytes() for row in alone] == [row.tobytes() for row in batch]


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_ranges_quantise_as_sentence_transformers_does(
    model: SentenceTransformer, vectors: Floats, sentences: list[str], precision: str
) -> None:
    # The ranges of half the rows, so that some values of the other half are outside.
    ranges = np.stack([vectors[::2].min(axis=0), vectors[::2].max(axis=0)])
    found = model.encode(sentences, precision=precision, ranges=ranges)
    expected = quantize_by_sentence_transformers(vectors, ranges, precision)
    assert found.dtype == expected.dtype
    assert (found == expected).all()
    alone = model.encode(sentences[1], precision=precision, ranges=ranges.tolist())
    assert (alone == expected[1]).all()
    out = np.zeros_like(expected)
    assert model.encode(sentences, precision=precision, ranges=ranges, out=out) is out
    assert (out == expected).all()


@pytest.mark.parametrize(
    ("ranges", "precision", "message"),
    [
        (np.zeros((2, 3)), "int8", r"\(2, 3\).*\(2, 384\)"),
        (np.zeros(384), "uint8", r"\(2, 384\)"),
        (np.stack([np.ones(384), np.zeros(384)]), "int8", "largest"),
        (np.full((2, 384), np.nan), "int8", "ranges"),
        (np.stack([np.zeros(384), np.ones(384)]), "float32", "int8 and uint8"),
        (np.stack([np.zeros(384), np.ones(384)]), "binary", "int8 and uint8"),
    ],
)
def test_wrong_ranges(
    model: SentenceTransformer,
    ranges: NDArray[Any],
    precision: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(Pipeline, "run")  # before any work
    with pytest.raises(ValueError, match=message):
        model.encode("a", ranges=ranges, precision=precision)


def test_token_embeddings_pool_to_the_vector(
    model: SentenceTransformer, vectors: Floats, sentences: list[str]
) -> None:
    tokens = model.encode(sentences, output_value="token_embeddings")
    assert isinstance(tokens, list)
    assert [rows.shape for rows in tokens] == [
        (used, 384) for used in model.count_tokens(sentences).used
    ]
    for rows, vector in zip(tokens, vectors, strict=True):
        assert rows.dtype == np.float32
        np.testing.assert_allclose(
            rows.astype(np.float64).mean(axis=0), vector, rtol=1e-5, atol=1e-6
        )
    one = model.encode(sentences[2], output_value="token_embeddings")
    assert one.tobytes() == tokens[2].tobytes()


def test_everything_about_a_text(
    model: SentenceTransformer, vectors: Floats, sentences: list[str]
) -> None:
    everything = model.encode(sentences, output_value=None)
    tokens = model.encode(sentences, output_value="token_embeddings")
    assert len(everything) == len(sentences)
    for text, parts, rows, vector in zip(sentences, everything, tokens, vectors, strict=True):
        assert parts["input_ids"].tolist() == model.tokenizer.encode(text).ids
        assert parts["attention_mask"].tolist() == [1] * len(rows)
        assert parts["token_embeddings"].tobytes() == rows.tobytes()
        assert parts["sentence_embedding"].tobytes() == vector.tobytes()
    one = model.encode("ok", output_value=None, truncate_dim=7)
    assert isinstance(one, dict)
    assert one["sentence_embedding"].shape == (7,)


@pytest.mark.parametrize("precision", ["float32", "int8", "ubinary"])
def test_writing_into_an_array(
    model: SentenceTransformer, sentences: list[str], precision: str
) -> None:
    expected = model.encode(sentences, precision=precision, truncate_dim=20)
    whole = np.zeros((len(sentences) + 2, *expected.shape[1:]), expected.dtype)
    out = whole[1:-1]
    returned = model.encode(sentences, precision=precision, truncate_dim=20, out=out)
    assert returned is out
    assert out.tobytes() == expected.tobytes()
    assert not whole[0].any(), "written before the array"
    assert not whole[-1].any(), "written behind the array"


def test_writing_one_text_and_none(model: SentenceTransformer) -> None:
    out = np.zeros((1, 384), np.float32)
    vector = model.encode("ok", out=out)
    assert vector.shape == (384,)
    assert out[0].tobytes() == vector.tobytes() == model.encode("ok").tobytes()
    assert model.encode([], out=np.empty((0, 384), np.float32)).shape == (0, 384)


def test_writing_into_a_file(
    model: SentenceTransformer, vectors: Floats, sentences: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "vectors.npy"
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=vectors.shape)
    model.encode(sentences, out=file)
    file.flush()
    assert np.load(path).tobytes() == vectors.tobytes()


def test_writing_where_nothing_is_aligned(
    model: SentenceTransformer, vectors: Floats, sentences: list[str]
) -> None:
    raw = np.zeros(vectors.nbytes + 1, np.uint8)
    out = raw[1:].view(np.float32).reshape(vectors.shape)
    model.encode(sentences, out=out)
    assert out.tobytes() == vectors.tobytes()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.empty((3, 384), np.float32), r"\(3, 384\).*expected \(2, 384\)"),
        (np.empty((2, 383), np.float32), r"\(2, 383\).*expected \(2, 384\)"),
        (np.empty((2, 384), np.float64), "float64.*float32"),
        (np.empty((2, 384), ">f4"), ">f4.*float32"),
        (np.empty((384, 2), np.float32).T, "C order"),
        (np.empty((4, 384), np.float32)[::2], "C order"),
        (np.broadcast_to(np.float32(0), (2, 384)), "writable"),
    ],
)
def test_arrays_that_do_not_fit(
    model: SentenceTransformer, out: NDArray[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model.encode(["a", "b"], out=out)


def test_out_must_be_an_array(model: SentenceTransformer) -> None:
    with pytest.raises(TypeError, match="out is a list"):
        model.encode(["a"], out=[[0.0] * 384])
