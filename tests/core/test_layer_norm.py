"""LayerNorm of a sum, and the sum of embeddings before the first LayerNorm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import _core
from core.isas import Floats, assert_same_bits, special_rows

WIDTHS = [16, 48, 64, 384, 768, 1536]
EPSILON = 1e-12
Exact = NDArray[np.float64]


def weight_and_bias(width: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(width)
    weight, bias = rng.standard_normal((2, width)).astype(np.float32)
    return weight, bias


def add_norm(isa: str, x: Floats, y: Floats) -> Floats:
    return _core.layers.add_norm(isa, x, y, *weight_and_bias(x.shape[1]), EPSILON)


def exact_norm(x: Floats) -> tuple[Exact, Exact]:
    """Return the rows' norm in float64, and the error that float32 may have.

    The mean's error is in proportion to the row's largest value; after the mean is subtracted, the
    row and this error are divided by the standard deviation. The variance has an error of half a
    unit for each of the width / 16 squares of a lane, its root of half as much.
    """
    weight, bias = weight_and_bias(x.shape[1])
    exact = x.astype(np.float64)
    centred = exact - exact.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=1, keepdims=True) + EPSILON)
    unit = centred / deviation
    largest = np.abs(exact).max(axis=1, keepdims=True)
    unit_error = 2.0**-24 * (2 * largest / deviation + (6 + x.shape[1] / 32) * np.abs(unit))
    result = unit * weight + bias
    return result, unit_error * np.abs(weight) + 2.0**-24 * np.abs(result)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("rows", [1, 2, 7, 50])
def test_close_to_float64(isa: str, rows: int, width: int) -> None:
    rng = np.random.default_rng([rows, width])
    x, y = (3 * rng.standard_normal((2, rows, width))).astype(np.float32)
    normed = add_norm(isa, x, y)
    exact, tolerance = exact_norm(x + y)
    assert (np.abs(normed - exact) <= tolerance).all()
    assert_same_bits(normed, add_norm("scalar", x, y))


@pytest.mark.parametrize("width", WIDTHS)
def test_special_rows(isa: str, width: int) -> None:
    x = special_rows(width)
    x[np.abs(x) > 1e15] = 0  # the square of 1e30 is infinite
    normed = add_norm(isa, x, np.zeros_like(x))
    assert np.isfinite(normed).all()
    assert_same_bits(normed, add_norm("scalar", x, np.zeros_like(x)))
    varied = np.ptp(x, axis=1) > 0  # constant rows have their own tests, below
    exact, tolerance = exact_norm(x[varied])
    assert (np.abs(normed[varied] - exact) <= tolerance).all()


@pytest.mark.parametrize("mean", [100.0, -1e4, 1e6])
def test_large_means(isa: str, mean: float) -> None:
    """The second pass squares the row minus its mean; E[x^2] - E[x]^2 would lose every digit."""
    noise = np.random.default_rng(0).standard_normal((20, 384)).astype(np.float32)
    x = np.full_like(noise, mean)
    normed = add_norm(isa, x, noise)
    exact, tolerance = exact_norm(x + noise)
    assert (np.abs(normed - exact) <= tolerance).all()
    assert_same_bits(normed, add_norm("scalar", x, noise))


@pytest.mark.parametrize("constant", [0.0, -0.0, 3.0, -1024.0])
def test_a_constant_row_becomes_the_bias(isa: str, constant: float) -> None:
    """These constants have an exact mean, so the row minus its mean is zero."""
    x = np.full((2, 384), constant, np.float32)
    _, bias = weight_and_bias(384)
    assert_same_bits(add_norm(isa, x, np.zeros_like(x)), np.stack([bias, bias]))


def test_a_constant_row_with_a_rounded_mean_stays_bounded(isa: str) -> None:
    x = np.full((1, 384), 1000.1, np.float32)
    weight, bias = weight_and_bias(384)
    normed = add_norm(isa, x, np.zeros_like(x))
    assert (np.abs(normed - bias) <= np.abs(weight) * 1.001 + 1e-6).all()
    assert_same_bits(normed, add_norm("scalar", x, np.zeros_like(x)))


def test_each_row_for_itself(isa: str) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 9, 64)).astype(np.float32)
    together = add_norm(isa, x, y)
    for row in range(9):
        assert_same_bits(add_norm(isa, x[row : row + 1], y[row : row + 1]), together[row : row + 1])


def at_odd_address(array: NDArray[Any], offset: int) -> NDArray[Any]:
    """Return a copy of the array that begins `offset` bytes after a multiple of 64."""
    room = np.empty(array.nbytes + 128, np.uint8)
    start = -room.ctypes.data % 64 + offset
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    assert copy.ctypes.data % 64 == offset
    return copy


def embed(isa: str, ids: NDArray[np.int32], words: NDArray[Any], *scales: float) -> Floats:
    """Run the kernel with position and token-type tables at odd addresses, as files have them.

    `scales` are one for all words, or one a word; none for float words.
    """
    rng = np.random.default_rng(2)
    width = words.shape[1]
    positions = at_odd_address(rng.standard_normal((600, width)).astype(np.float32), 12)
    token_types = at_odd_address(rng.standard_normal((3, width)).astype(np.float32), 20)
    weight, bias = (at_odd_address(part, 4) for part in weight_and_bias(width))
    scale = np.array(scales or [0.0], np.float32)
    tables = (words, at_odd_address(scale, 8), positions, token_types, weight, bias, EPSILON)
    normed = _core.layers.embed(isa, ids, *tables)
    types = rng.integers(3, size=len(ids), dtype=np.int32)
    typed = _core.layers.embed(isa, ids, *tables, types=types)
    # By the kernel just tested: the same sum, the same norm.
    if words.dtype == np.int8:
        sums = _core.kernels.soft_fma(
            words[ids].astype(np.float32),
            np.broadcast_to(scale, len(words))[ids, np.newaxis].repeat(width, axis=1),
            positions[: len(ids)],
        )
    else:
        sums = words[ids] + positions[: len(ids)]
    others = np.broadcast_to(token_types[0], sums.shape).copy()
    assert_same_bits(normed, add_norm("scalar", sums, others))
    assert_same_bits(typed, add_norm("scalar", sums, token_types[types]))
    return normed


@pytest.mark.parametrize("offset", [0, 1, 7, 16, 31, 63])
@pytest.mark.parametrize("width", [16, 64, 384])
def test_embed_int8_words_at_any_address(isa: str, width: int, offset: int) -> None:
    rng = np.random.default_rng(width)
    words = rng.integers(-128, 128, (40, width)).astype(np.int8)
    words[39] = -128
    words[38] = 127
    ids = np.array([0, 39, 38, 5, 5, *range(40)], np.int32)
    embed(isa, ids, at_odd_address(words, offset), 0.0123)


@pytest.mark.parametrize("width", [16, 64, 384])
def test_embed_words_with_a_scale_each(isa: str, width: int) -> None:
    rng = np.random.default_rng(width)
    words = rng.integers(-128, 128, (40, width)).astype(np.int8)
    scales = np.exp(rng.standard_normal(40)).astype(np.float32)
    ids = np.array([0, 39, 38, 5, 5, *range(40)], np.int32)
    embed(isa, ids, words, *scales)
    same = np.full(40, 0.0123, np.float32)
    assert_same_bits(embed(isa, ids, words, *same), embed(isa, ids, words, same[0]))


def test_embed_refuses_other_numbers_of_scales(isa: str) -> None:
    words, ids = np.zeros((40, 16), np.int8), np.zeros(1, np.int32)
    for count in (2, 39, 41):
        with pytest.raises(ValueError, match="one scale, or one for each word"):
            embed(isa, ids, words, *range(1, count + 1))


@pytest.mark.parametrize("offset", [0, 4, 36, 60])
@pytest.mark.parametrize("width", [16, 64, 384])
def test_embed_float_words_at_any_address(isa: str, width: int, offset: int) -> None:
    words = np.random.default_rng(width).standard_normal((40, width)).astype(np.float32)
    words[:15] = special_rows(width)
    words[np.abs(words) > 1e15] = 0
    ids = np.array([39, 0, 0, *range(40)], np.int32)
    embed(isa, ids, at_odd_address(words, offset))


@pytest.mark.parametrize("tokens", [1, 2, 47, 48, 49, 512])
def test_embed_any_number_of_tokens(isa: str, tokens: int) -> None:
    rng = np.random.default_rng(tokens)
    words = rng.integers(-128, 128, (30, 64)).astype(np.int8)
    normed = embed(isa, rng.integers(0, 30, tokens).astype(np.int32), words, 0.02)
    assert normed.shape == (tokens, 64)
    assert np.isfinite(normed).all()
