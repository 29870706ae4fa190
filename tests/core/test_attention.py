"""Attention of one text, all heads, in both compute types.

float32 is compared with float64. int8 is compared with what its scheme says in float64: 8-bit
queries with a scale and a zero point a row, keys with a scale a row, values with a scale a column,
probabilities as levels of 255, and what rounding took from them given back evenly. A level may
differ by one where 255 * exp(...) is close to a half.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import _core
from core.isas import Floats, assert_same_bits

Exact = NDArray[np.float64]
HEAD_SIZES = [16, 32, 48, 64]
TOKENS = [*range(1, 50), 63, 64, 65, 130]
MANY_TOKENS = [*range(50, 67), 127, 128, 129, 511, 512]
COMPUTE_TYPES = ["float32", "int8"]
PARTS = 3  # queries, keys, values
LANES = 16  # the number of keys is padded to a multiple
LEAST = np.exp(-12)  # what every power counts at least, a padded key's too


def attend(isa: str, compute_type: str, qkv: Floats) -> Floats:
    """Run the kernel on qkv [tokens, 3, heads, head size]; return [tokens, heads, head size]."""
    tokens, _, heads, head_size = qkv.shape
    context = _core.kernels.attention(isa, compute_type, qkv.reshape(tokens, -1), heads)
    return context.reshape(tokens, heads, head_size)


def powers_of(scores: Exact) -> Exact:
    """Return exp(score - highest score of the row); [tokens, tokens]."""
    powers: Exact = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers


def exact_attention(qkv: Floats) -> Exact:
    """Compute every head in float64."""
    result = np.empty((qkv.shape[0], *qkv.shape[2:]))
    for head in range(qkv.shape[2]):
        query, key, value = qkv[:, :, head].astype(np.float64).transpose(1, 0, 2)
        powers = powers_of(query @ key.T / np.sqrt(query.shape[1]))
        result[:, head] = powers @ value / powers.sum(axis=1, keepdims=True)
    return result


def symmetric(x: Floats, axis: int) -> Exact:
    """Return x as its 8-bit codes say it, with one scale along the axis; tiny x count as zero."""
    top = np.abs(x).max(axis=axis, keepdims=True)
    inverse = np.float32(127) / np.where(top < np.float32(1e-30), np.float32(np.inf), top)
    codes: Exact = np.rint(x * inverse).astype(np.float64)
    seen: Exact = codes * top / 127
    return seen


def as_quantized(qkv: Floats) -> tuple[Exact, Exact, Exact]:
    """Return queries, keys and values [tokens, head size] of one head as their codes say them."""
    query, key, value = np.ascontiguousarray(qkv.transpose(1, 0, 2))
    codes, scale, zero_point = _core.kernels.quantize("scalar", query)
    query_seen = scale[:, np.newaxis].astype(np.float64) * (codes - zero_point[:, np.newaxis])
    return query_seen, symmetric(key, axis=1), symmetric(value, axis=0)


def assert_follows_the_scheme(context: Floats, qkv: Floats) -> None:
    """Compare int8 attention with the scheme, computed from the same codes."""
    tokens, padding = len(qkv), -len(qkv) % LANES
    for head in range(qkv.shape[2]):
        query_seen, key_seen, value_seen = as_quantized(qkv[:, :, head])
        scores = query_seen @ key_seen.T / np.sqrt(qkv.shape[3])
        powers = 255 * np.maximum(powers_of(scores), LEAST)
        levels = np.rint(powers)
        total = powers.sum(axis=1, keepdims=True) + 255 * LEAST * padding
        lost = total - levels.sum(axis=1, keepdims=True)
        expected = (levels @ value_seen + lost / tokens * value_seen.sum(axis=0)) / total

        # How far float32 may be from it: exp by its own error and by that of the score, which three
        # roundings make; a power close to a half may have the next level.
        off = np.where(powers < 255 * np.exp(-5), 2e-4, 6e-4)
        off += powers * np.abs(scores).max() * 3 * 2.0**-24
        doubtful = np.abs(powers % 1 - 0.5) < off
        slack = (off + 2.1 * doubtful).sum(axis=1, keepdims=True) + 2e-4 * padding
        bound = np.abs(value_seen).max() * (2e-6 + slack / total) + 1e-44
        assert (np.abs(context[:, head] - expected) <= bound).all()


def random_text(tokens: int, heads: int, head_size: int, size: float = 1.0) -> Floats:
    rng = np.random.default_rng([tokens, heads, head_size])
    qkv = size * rng.standard_normal((tokens, PARTS, heads, head_size))
    return qkv.astype(np.float32)


@functools.cache
def scalar_bits(compute_type: str, tokens: int, head_size: int) -> Floats:
    return attend("scalar", compute_type, random_text(tokens, 1, head_size))


@pytest.mark.parametrize("head_size", HEAD_SIZES)
@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_any_number_of_tokens(isa: str, compute_type: str, head_size: int) -> None:
    for tokens in [*TOKENS, *(MANY_TOKENS if head_size == 32 else [])]:
        qkv = random_text(tokens, 1, head_size)
        context = attend(isa, compute_type, qkv)
        if compute_type == "int8":
            assert_follows_the_scheme(context, qkv)
        else:
            np.testing.assert_allclose(context, exact_attention(qkv), rtol=0, atol=4e-6)
        assert_same_bits(context, scalar_bits(compute_type, tokens, head_size), f"{tokens} tokens")


@pytest.mark.parametrize("tokens", [1, 5, 17, 100])
def test_int8_is_close_to_exact_attention(isa: str, tokens: int) -> None:
    qkv = random_text(tokens, 4, 32)
    exact = exact_attention(qkv)
    error = attend(isa, "int8", qkv) - exact
    assert np.linalg.norm(error) <= 0.02 * np.linalg.norm(exact)


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_heads_do_not_see_each_other(isa: str, compute_type: str) -> None:
    qkv = random_text(19, 5, 32)
    together = attend(isa, compute_type, qkv)
    for head in range(5):
        alone = attend(isa, compute_type, np.ascontiguousarray(qkv[:, :, head : head + 1]))
        assert_same_bits(alone, np.ascontiguousarray(together[:, head : head + 1]))


def hard_texts(head_size: int) -> dict[str, Floats]:
    """Return texts that are hard on the arithmetic, by name; 37 tokens, 2 heads."""
    rng = np.random.default_rng(head_size)
    shape = (37, PARTS, 2, head_size)
    noise = rng.standard_normal(shape).astype(np.float32)
    texts = {"zeros": np.zeros(shape), "negative zeros": np.full(shape, -0.0)}
    texts["saturated codes"] = np.sign(noise)
    texts["all equal"] = np.ones(shape)
    texts["identical keys"] = noise.copy()
    texts["identical keys"][:, 1] = noise[0, 1]
    texts["one dominating key"] = noise.copy()
    texts["one dominating key"][:, 0] = np.abs(noise[:, 0])
    texts["one dominating key"][20, 1] = 1000
    texts["very negative scores"] = noise.copy()
    texts["very negative scores"][:, 0] = 1e3
    texts["very negative scores"][:, 1] = -1e3
    texts["very negative scores"][36, 1] = -1
    texts["subnormal scores"] = noise * np.array([1e-20, 1e-20, 1], np.float32)[:, None, None]
    texts["subnormal queries and keys"] = (
        noise * np.array([1e-40, 1e-40, 1], np.float32)[:, None, None]
    )
    texts["subnormal values"] = noise * np.array([1, 1, 1e-40], np.float32)[:, None, None]
    texts["tiny values"] = noise * np.array([1, 1, 1e-31], np.float32)[:, None, None]
    texts["outliers"] = noise * np.float32(1e-3)
    texts["outliers"][7, 1, :, 3] = 1e6
    texts["outliers"][9, 2, :, 0] = -1e6
    texts["one key is zero"] = noise.copy()
    texts["one key is zero"][36, 1] = 0
    texts["scores around 87"] = noise * np.float32(np.sqrt(30))
    return {name: text.astype(np.float32) for name, text in texts.items()}


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
@pytest.mark.parametrize("head_size", [16, 32, 64])
@pytest.mark.parametrize("name", hard_texts(16))
def test_hard_text(isa: str, compute_type: str, head_size: int, name: str) -> None:
    qkv = hard_texts(head_size)[name]
    context = attend(isa, compute_type, qkv)
    assert_same_bits(context, attend("scalar", compute_type, qkv))
    if compute_type == "int8":
        assert_follows_the_scheme(context, qkv)
    else:
        tolerance = 6e-6 * np.abs(qkv[:, 2]).max() + 37 * 2.0**-150  # subnormals round by 2**-150
        np.testing.assert_allclose(context, exact_attention(qkv), rtol=0, atol=tolerance)


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_identical_keys_give_the_mean_value(isa: str, compute_type: str) -> None:
    qkv = random_text(24, 1, 32)
    qkv[:, 1] = qkv[0, 1]
    mean = (qkv[:, 2] if compute_type == "float32" else symmetric(qkv[:, 2], axis=0)).mean(axis=0)
    context = attend(isa, compute_type, qkv)
    np.testing.assert_allclose(context, np.broadcast_to(mean, context.shape), atol=1e-5)


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_a_dominating_key_gives_its_value(isa: str, compute_type: str) -> None:
    """But for exp(-12) for every other key, which 8-bit attention gives to all alike."""
    qkv = random_text(30, 1, 16)
    qkv[:, 0] = 1
    qkv[11, 1] = 100
    expected = qkv[11, 2] if compute_type == "float32" else symmetric(qkv[:, 2], axis=0)[11]
    tolerance = 1e-6 if compute_type == "float32" else 40 * LEAST * np.abs(qkv[:, 2]).max()
    context = attend(isa, compute_type, qkv)
    np.testing.assert_allclose(context, np.broadcast_to(expected, context.shape), atol=tolerance)


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
@pytest.mark.parametrize("size", [1e2, 1e4, 1e6, 1e12])
def test_huge_scores_choose_one_key(isa: str, compute_type: str, size: float) -> None:
    qkv = random_text(20, 1, 32)
    qkv[:, :2] *= np.float32(size)
    context = attend(isa, compute_type, qkv)
    assert_same_bits(context, attend("scalar", compute_type, qkv))
    query, key, value = (
        as_quantized(qkv[:, :, 0])
        if compute_type == "int8"
        else qkv[:, :, 0].astype(np.float64).transpose(1, 0, 2)
    )
    scores = query @ key.T / np.sqrt(32)
    second, first = np.sort(scores, axis=1)[:, -2:].T
    clear = first - second > 20 + 1e-5 * np.abs(first)
    assert clear.sum() > 10
    chosen = value[scores.argmax(axis=1)]
    np.testing.assert_allclose(context[clear, 0], chosen[clear], atol=1e-3)


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
@pytest.mark.parametrize("size", [1.0, 3e2, 1e4, 1e5, 1e12])
def test_equal_scores_of_any_size(isa: str, compute_type: str, size: float) -> None:
    for sign in (1, -1):
        qkv = random_text(9, 1, 16)
        qkv[:, 0], qkv[:, 1] = size, sign * size
        context = attend(isa, compute_type, qkv)
        mean = np.broadcast_to(qkv[:, 2].mean(axis=0), context.shape)
        np.testing.assert_allclose(context, mean, atol=0.02)  # values have 8 bits
        assert_same_bits(context, attend("scalar", compute_type, qkv))


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_a_single_token_sees_itself(isa: str, compute_type: str) -> None:
    qkv = random_text(1, 3, 32)
    np.testing.assert_allclose(attend(isa, compute_type, qkv), qkv[:, 2], rtol=3e-7)
