"""The core's own GELU and exp: their errors, and their exact values at the edges.

Exp is measured by the attention of two tokens, where a probability is exp(s) / (1 + exp(s)).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import _core
from core.isas import SUPPORTED, Floats, assert_same_bits, gelu

Exact = NDArray[np.float64]
COMPUTE_TYPES = ["int8", "float32"]
# For x above this, GELU(x) is x + GELU(-x).
BOUND = {"float32": 5.75, "int8": 4.5}


def exact_gelu(x: Floats) -> Exact:
    return np.array([v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x.tolist()])


def dense_grid() -> Floats:
    large_and_small = np.geomspace(1e-40, 1e30, 6_400)
    ordinary = np.linspace(-7, 7, 64_000)
    return np.concatenate([ordinary, large_and_small, -large_and_small]).astype(np.float32)


def test_gelu_on_a_dense_grid(isa: str) -> None:
    x = dense_grid()
    error = np.abs(gelu(isa, "float32", x) - exact_gelu(x))
    assert (error <= 3e-7 * np.maximum(1, np.abs(x))).all()
    small = np.abs(x) < 1e-3  # where GELU is almost x / 2, the relative error counts too
    assert (error[small] <= 1e-5 * np.abs(x[small]) + 1e-44).all()


def test_gelu_before_8_bits_on_a_dense_grid(isa: str) -> None:
    """The error is small compared with the step, 1/255 of the range, of any row that has x."""
    x = dense_grid()
    error = np.abs(gelu(isa, "int8", x) - exact_gelu(x))
    size = np.abs(x)
    assert (error <= 7e-5 + 1e-7 * size).all()
    assert (error <= 2.8e-4 * size + 1e-44).all()


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_gelu_at_the_edges(isa: str, compute_type: str) -> None:
    zeros = np.tile(np.array([0.0, -0.0], np.float32), 8)
    assert_same_bits(gelu(isa, compute_type, zeros), np.zeros(16, np.float32))
    powers = [1, 1.125, 1.25, 1.5, 2, 1e2, 1e3, 1e10, 1e30]
    large = np.resize(np.array(powers, np.float32) * np.float32(BOUND[compute_type]), 16)
    large[-1] = np.finfo(np.float32).max
    tail = gelu(isa, compute_type, -large)
    assert len(set(tail.tolist())) == 1
    assert -7e-5 < tail[0] < 0
    assert_same_bits(gelu(isa, compute_type, large), large + tail)
    if compute_type == "float32":
        assert tail[0] > -1e-7
        assert_same_bits(large + tail, large)  # too little to change anything


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_gelu_grows_where_it_should(isa: str, compute_type: str) -> None:
    x = np.linspace(-0.7, 6, 6400, dtype=np.float32)
    assert (np.diff(gelu(isa, compute_type, x)) >= -2e-7).all()


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_gelu_has_the_same_bits_everywhere(compute_type: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2**32, 64_000, dtype=np.uint32).view(np.float32)
    x[~np.isfinite(x)] = 0
    x = np.concatenate([x, rng.uniform(-6, 6, 128_000).astype(np.float32)])
    expected = gelu("scalar", compute_type, x)
    assert np.isfinite(expected).all()
    for isa in SUPPORTED:
        assert_same_bits(gelu(isa, compute_type, x), expected, isa)


def two_token_attention(isa: str, compute_type: str, distances: Floats, place: int = 1) -> Exact:
    """Return the last key's probability where its score is `distance` below the first's.

    One head of 16 a distance: the query is 4 * distance in one feature (the score's scale is
    1 / sqrt(16)), the keys are 0 and -1 there, the values 0 and 1. The last key is number `place`;
    those between have a score of -1000 from another feature, so they do not count.
    """
    heads, head_size = len(distances), 16
    qkv = np.zeros((place + 1, 3, heads, head_size), np.float32)
    qkv[:, 0, :, 0] = 4 * distances
    qkv[place, 1, :, 0] = -1
    qkv[place, 2, :, :] = 1
    if place > 1:
        qkv[:, 0, :, 1] = 4
        qkv[1:place, 1, :, 1] = -1000
    context = _core.layers.attention(isa, compute_type, qkv.reshape(place + 1, -1), heads)
    for row in context[1:]:
        assert_same_bits(row, context[0])
    probabilities: Exact = context[0].reshape(heads, head_size)[:, 0].astype(np.float64)
    return probabilities


def test_exp_in_float32_softmax(isa: str) -> None:
    distances = np.concatenate([np.linspace(0, 87, 4000), np.geomspace(1e-40, 87, 1000)]).astype(
        np.float32
    )
    distances = distances[distances < 87]
    power = np.exp(-distances.astype(np.float64))
    error = two_token_attention(isa, "float32", distances) / (power / (1 + power)) - 1
    # 1.7e-7 of exp itself; the sum, the division and the product round by 6e-8 each.
    assert np.abs(error).max() <= 1.7e-7 + 3 * 2.0**-24


@pytest.mark.parametrize("place", [1, 7, 8, 15])  # in both halves of a vector of 16
def test_exp_at_the_edges(isa: str, place: int) -> None:
    distances = np.array([0, 1e-40, 87, 88, 104, 1e3, 1e10, 1e30], np.float32)
    probabilities = two_token_attention(isa, "float32", distances, place)
    np.testing.assert_array_equal(probabilities, [0.5, 0.5, 0, 0, 0, 0, 0, 0])


def test_exp_in_8_bit_softmax(isa: str) -> None:
    """p0 = 255 and p1 = 255 exp(-distance), rounded to levels; half of the loss is added to p1.

    No probability is below exp(-12) of the highest, and padded keys have none.
    """
    distances = np.concatenate([np.linspace(0, 13, 8000), [1e2, 1e4, 1e6, 1e10]]).astype(np.float32)
    p1 = 255 * np.exp(-np.minimum(distances.astype(np.float64), 12))
    total = 255 + p1
    context = two_token_attention(isa, "int8", distances)
    levels = np.rint(2 * context * total - total + 255)  # from (level + (total - 255 - level) / 2)
    assert (np.abs(levels - p1) <= 0.5 + 1e-3).all()
    assert levels[0] == 255
    assert (np.diff(levels) <= 0).all()
    expected = (levels + (total - 255 - levels) / 2) / total
    np.testing.assert_allclose(context, expected, rtol=0, atol=1e-5)
