"""Pooling, and the vector's final form: truncated, then normalised, then quantised."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bge_micro import _core
from core.isas import SUPPORTED, Floats, assert_same_bits, special_rows
from properties import examples

POOLINGS = ["mean", "cls", "max", "mean_sqrt_len_tokens"]
DIMENSIONS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 100, 127, 383, 384]
Exact = NDArray[np.float64]


def pool(isa: str, x: Floats, pooling: str) -> Floats:
    """Return the pooled vector as it is."""
    width = x.shape[1]
    raw = _core.kernels.pool(isa, x, pooling, width, False, "float32", 4 * width)
    return raw.view(np.float32)


def finish(isa: str, vector: Floats, dimensions: int, normalize: bool) -> Floats:
    """Return a vector truncated and normalised."""
    row = vector[np.newaxis]
    raw = _core.kernels.pool(isa, row, "cls", dimensions, normalize, "float32", 4 * dimensions)
    return raw.view(np.float32)


def quantized(isa: str, vector: Floats, precision: str) -> NDArray[np.uint8]:
    """Return a vector in 8 bits or one bit a dimension, as bytes."""
    size = len(vector)
    width = (size + 15) // 16 * 16
    row = np.full((1, width), 1e9, np.float32)  # beyond the vector: what truncation removes
    row[0, :size] = vector
    row_bytes = (size + 7) // 8 if "binary" in precision else size
    return _core.kernels.pool(isa, row, "cls", size, False, precision, row_bytes)


def model(vector: Floats, precision: str) -> NDArray[np.uint8]:
    """Compute with NumPy what `quantized` must return."""
    if precision == "ubinary":
        return np.packbits(vector > 0)
    if precision == "binary":
        return (np.packbits(vector > 0).astype(np.int16) - 128).astype(np.int8).view(np.uint8)
    largest = np.abs(vector).max()
    codes = np.rint(vector * np.float32(127) / (largest if largest > 0 else np.float32(1)))
    offset = 128 if precision == "uint8" else 0
    return (codes.astype(np.int16) + offset).astype(np.uint8)


@pytest.mark.parametrize("tokens", [1, 2, 3, 7, 64, 130])
@pytest.mark.parametrize("width", [16, 64, 384])
def test_poolings(isa: str, width: int, tokens: int) -> None:
    x = np.random.default_rng([width, tokens]).standard_normal((tokens, width)).astype(np.float32)
    total = functools.reduce(np.add, x)  # in token order, every sum rounded
    assert_same_bits(pool(isa, x, "cls"), x[0])
    assert_same_bits(pool(isa, x, "max"), x.max(axis=0))
    assert_same_bits(pool(isa, x, "mean"), total / np.float32(tokens))
    root = np.sqrt(np.float32(tokens))
    assert_same_bits(pool(isa, x, "mean_sqrt_len_tokens"), total / root)


def test_poolings_of_special_rows(isa: str) -> None:
    x = special_rows(64)
    for pooling in POOLINGS:
        pooled = pool(isa, x, pooling)
        assert np.isfinite(pooled).all()
        assert_same_bits(pooled, pool("scalar", x, pooling), pooling)


def test_the_later_of_two_zeros_is_the_maximum(isa: str) -> None:
    """Of two equal values the second is kept; NEON's own maximum would prefer the positive zero."""
    x = np.array([[0.0] * 16, [-0.0] * 16], np.float32)
    assert_same_bits(pool(isa, x, "max"), x[1])
    assert_same_bits(pool(isa, x[::-1].copy(), "max"), x[0])


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_truncation_comes_before_normalisation(isa: str, dimensions: int, normalize: bool) -> None:
    vector = np.random.default_rng(dimensions).standard_normal(384).astype(np.float32)
    result = finish(isa, vector, dimensions, normalize)
    if not normalize:
        assert_same_bits(result, vector[:dimensions])
        return
    kept = vector[:dimensions].astype(np.float64)
    np.testing.assert_allclose(result, kept / np.linalg.norm(kept), rtol=3e-7)
    assert_same_bits(result, finish("scalar", vector, dimensions, normalize))
    # The dimensions that were cut off have no influence.
    vector[dimensions:] = 1e9
    assert_same_bits(result, finish(isa, vector, dimensions, normalize))


@pytest.mark.parametrize("size", [1e-30, 1e-15, 1.0, 1e15])
def test_normalised_length(isa: str, size: float) -> None:
    """Length 1, unless it is below 1e-12, which counts as 1e-12: as in torch."""
    vector = (size * np.random.default_rng(0).standard_normal(384)).astype(np.float32)
    length = np.linalg.norm(finish(isa, vector, 384, True).astype(np.float64))
    expected = min(1.0, np.linalg.norm(vector.astype(np.float64)) / 1e-12)
    assert length == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("normalize", [False, True])
def test_the_zero_vector(isa: str, normalize: bool) -> None:
    x = np.zeros((1, 16), np.float32)
    expected = {
        "float32": bytes(4 * 16),
        "int8": bytes(16),
        "uint8": bytes([128]) * 16,
        "binary": bytes([0x80]) * 2,
        "ubinary": bytes(2),
    }
    for precision, raw in expected.items():
        row = _core.kernels.pool(isa, x, "mean", 16, normalize, precision, len(raw))
        assert row.tobytes() == raw, precision


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_precisions(isa: str, dimensions: int, precision: str) -> None:
    vector = np.random.default_rng(dimensions).standard_normal(dimensions).astype(np.float32)
    assert_same_bits(quantized(isa, vector, precision), model(vector, precision))
    assert_same_bits(quantized(isa, -vector, precision), model(-vector, precision))


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_precisions_of_special_vectors(isa: str, precision: str) -> None:
    for number, vector in enumerate(special_rows(64)):
        actual = quantized(isa, vector, precision)
        assert_same_bits(actual, model(vector, precision), f"row {number}")


def test_the_largest_value_has_code_127(isa: str) -> None:
    vector = np.array([0.5, -3.0, 1.5, 0.0], np.float32)
    codes = quantized(isa, vector, "int8").view(np.int8)
    assert codes.tolist() == [21, -127, 64, 0]  # 63.5 rounds to even
    assert quantized(isa, vector, "uint8").tolist() == [149, 1, 192, 128]


@given(
    arrays(np.float32, st.integers(1, 40), elements=st.floats(-(2.0**119), 2.0**119, width=32)),
    st.sampled_from(["int8", "uint8", "binary", "ubinary"]),
)
@examples(150)
def test_any_vector(vector: Floats, precision: str) -> None:
    for isa in SUPPORTED:
        assert_same_bits(quantized(isa, vector, precision), model(vector, precision), isa)
