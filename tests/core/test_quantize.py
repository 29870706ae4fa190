"""Rows of floats -> 8-bit codes with a scale and a zero point: the input of int8 linears."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bge_micro import _core
from core.isas import SUPPORTED, Floats, assert_same_bits, special_rows
from properties import examples

WIDTHS = [16, 32, 48, 64, 80, 384, 1536]
Quantized = tuple[NDArray[np.int32], Floats, NDArray[np.int32]]


def model(x: Floats, factor: Floats | None = None) -> Quantized:
    """Compute codes, scale and zero point with NumPy, with the kernel's operations in its order.

    Every operation rounds to float32, as in the kernel.
    """
    one = np.float32(1)
    x = x if factor is None else x * factor
    low = np.minimum(x.min(axis=1), np.float32(0))
    with np.errstate(over="ignore"):
        span = np.maximum(x.max(axis=1), np.float32(0)) - low
    constant = ~((span >= np.float32(1e-30)) & np.isfinite(span))
    inverse = np.float32(255) / np.where(constant, np.float32(255), span)
    zero = np.where(constant, np.float32(0), np.rint(np.float32(-128) - low * inverse))
    position = _core.kernels.soft_fma(x, inverse[:, np.newaxis], zero[:, np.newaxis])
    codes = np.rint(np.clip(position, -128, 127)).astype(np.int32)
    scale = np.where(constant, one, span / np.float32(255))
    return codes, scale, zero.astype(np.int32)


def assert_equal(actual: Quantized, expected: Quantized) -> None:
    for name, left, right in zip(("codes", "scale", "zero point"), actual, expected, strict=True):
        assert_same_bits(left, right, name)


def assert_close(x: Floats, quantized: Quantized) -> None:
    """Fail unless the codes represent x with an error of at most half a step."""
    codes, scale, zero_point = quantized
    assert codes.min() >= -128
    assert codes.max() <= 127
    assert zero_point.min() >= -128
    assert zero_point.max() <= 127
    steps = scale.astype(np.float64)[:, np.newaxis]
    error = np.abs(steps * (codes - zero_point[:, np.newaxis]) - x)
    assert (error <= 0.5001 * steps).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_random_rows(isa: str, width: int) -> None:
    x = np.random.default_rng(width).standard_normal((50, width)).astype(np.float32)
    quantized = _core.kernels.quantize(isa, x)
    assert_equal(quantized, model(x))
    assert_close(x, quantized)


@pytest.mark.parametrize("width", WIDTHS)
def test_special_rows(isa: str, width: int) -> None:
    x = special_rows(width)
    assert_equal(_core.kernels.quantize(isa, x), model(x))


@pytest.mark.parametrize("width", [16, 384])
def test_input_factor_multiplies_first(isa: str, width: int) -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([special_rows(width), rng.standard_normal((20, width))]).astype(np.float32)
    factor = np.exp(rng.standard_normal(width)).astype(np.float32)
    quantized = _core.kernels.quantize(isa, x, factor)
    assert_equal(quantized, model(x, factor))
    assert_equal(quantized, _core.kernels.quantize(isa, x * factor))


def test_each_row_for_itself(isa: str) -> None:
    x = special_rows(64)
    together = _core.kernels.quantize(isa, x)
    for row in range(len(x)):
        alone = _core.kernels.quantize(isa, x[row : row + 1])
        assert_equal(alone, tuple(part[row : row + 1] for part in together))  # type: ignore[arg-type]


def test_zeros_are_exact(isa: str) -> None:
    """The range always includes 0, so that 0 has an exact code: for padding and ReLU-like rows."""
    for sign in (1, -1):
        x = np.abs(special_rows(64)) * np.float32(sign)
        x[:, ::2] = 0
        codes, _, zero_point = _core.kernels.quantize(isa, x)
        np.testing.assert_array_equal(codes[:, ::2], np.repeat(zero_point[:, None], 32, axis=1))


def test_rows_of_one_sign_use_all_codes(isa: str) -> None:
    x = np.linspace(1, 2, 64, dtype=np.float32)[np.newaxis]
    codes, scale, zero_point = _core.kernels.quantize(isa, x)
    assert (codes.max(), zero_point[0], scale[0]) == (127, -128, np.float32(2) / np.float32(255))
    codes, _, zero_point = _core.kernels.quantize(isa, -x)
    assert (codes.min(), zero_point[0]) == (-128, 127)


def test_a_row_without_range_has_scale_one(isa: str) -> None:
    x = np.array([np.zeros(32), np.full(32, -0.0), np.full(32, 1e-40)], np.float32)
    codes, scale, zero_point = _core.kernels.quantize(isa, x)
    assert not codes.any()
    assert not zero_point.any()
    np.testing.assert_array_equal(scale, np.ones(3, np.float32))


def test_a_row_that_overflows_has_defined_codes(isa: str) -> None:
    """The range is infinite: the row counts as constant, so that no NaN becomes an integer."""
    x = np.zeros((4, 32), np.float32)
    x[0, :2] = np.inf, -np.inf
    x[1, 3] = -np.inf
    x[2, 5] = np.inf
    x[3, :2] = 3e38, -3e38  # finite, but not their difference
    quantized = _core.kernels.quantize(isa, x)
    assert_equal(quantized, model(x))
    codes, scale, zero_point = quantized
    np.testing.assert_array_equal(codes, np.sign(x) * 127.5 - (x != 0) * 0.5)
    np.testing.assert_array_equal(scale, np.ones(4, np.float32))
    assert not zero_point.any()


def test_a_nan_has_the_highest_code(isa: str) -> None:
    """NaN does not count for the range; CPUs would convert it to different integers."""
    x = np.tile(np.array([np.nan, -1, 1, 0], np.float32), 16)[np.newaxis]
    x[0, 1] = np.nan
    codes, scale, zero_point = _core.kernels.quantize(isa, x)
    np.testing.assert_array_equal(codes[np.isnan(x)], np.full(17, 127))
    assert (codes[0, 5], codes[0, 6], scale[0]) == (-128, 127, np.float32(2) / np.float32(255))
    assert zero_point[0] in (-1, 0)


@given(arrays(np.float32, (2, 16), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
@examples(150)
def test_any_row(x: Floats) -> None:
    expected = model(x)
    assert_close(x, expected)
    for isa in SUPPORTED:
        assert_equal(_core.kernels.quantize(isa, x), expected)
