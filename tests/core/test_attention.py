"""Attention of one text, all heads, in both compute types.

float32 is compared with float64. int8 is compared with its scheme, computed in float64:
- keys are coded as distances from the middle of their range, with one scale per feature, which is
  multiplied into the queries; queries have one scale per row;
- values are coded as distances from their mean, with one scale per feature;
- probabilities are levels from 0 to 255, divided by their exact sum. A level may differ by one if
  255 * exp(...) is close to a half.
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
LEAST = np.exp(-12)  # the least that a power counts


def attend(isa: str, compute_type: str, qkv: Floats) -> Floats:
    """Run the kernel on qkv [tokens, 3, heads, head size]; return [tokens, heads, head size]."""
    tokens, _, heads, head_size = qkv.shape
    context = _core.layers.attention(isa, compute_type, qkv.reshape(tokens, -1), heads)
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


def to_codes(x: Floats, reach: Floats) -> Exact:
    """Return x in 127ths of `reach`, rounded and clamped; 0 where `reach` is tiny."""
    inverse = np.float32(127) / np.where(reach < np.float32(1e-30), np.float32(np.inf), reach)
    codes: Exact = np.clip(np.rint(x * inverse), -127, 127).astype(np.float64)
    return codes


def scores_as_quantized(query: Floats, key: Floats) -> Exact:
    """Return one head's scores [queries, keys] from the codes, up to a constant per row."""
    half = np.float32(0.5)
    low, high = key.min(axis=0), key.max(axis=0)
    reach = high * half - low * half
    codes = to_codes(key - (low * half + high * half), reach)
    scaled = query * (reach / np.float32(127))
    top = np.abs(scaled).max(axis=1, keepdims=True)
    scale = top.astype(np.float64) / 127 / np.sqrt(query.shape[1])
    scores: Exact = (to_codes(scaled, top) @ codes.T) * scale
    return scores


def values_as_quantized(value: Floats) -> tuple[Exact, Exact]:
    """Return the mean value of one head, and the values minus the mean, from their codes."""
    mean = np.add.accumulate(value, axis=0)[-1] / np.float32(len(value))  # summed in order
    reach = np.maximum(mean - value.min(axis=0), value.max(axis=0) - mean)
    seen: Exact = to_codes(value - mean, reach) * (reach.astype(np.float64) / 127)
    return mean.astype(np.float64), seen


def assert_follows_the_scheme(context: Floats, qkv: Floats) -> None:
    """Compare int8 attention with the scheme, computed from the same codes."""
    for head in range(qkv.shape[2]):
        query, key, value = np.ascontiguousarray(qkv[:, :, head].transpose(1, 0, 2))
        scores = scores_as_quantized(query, key)
        mean, value_seen = values_as_quantized(value)
        powers = 255 * np.maximum(powers_of(scores), LEAST)
        levels = np.rint(powers)
        total = powers.sum(axis=1, keepdims=True)
        expected = mean + levels @ value_seen / total

        # The error that float32 may have: exp's own error, and that of the score, which is rounded
        # three times. A power close to a half may get the next level.
        below = scores.max(axis=1, keepdims=True) - scores
        off = np.where(powers < 255 * np.exp(-5), 2e-4, 6e-4)
        off += powers * below * 3 * 2.0**-24
        doubtful = np.abs(powers % 1 - 0.5) < off
        slack = (off + 1.1 * doubtful).sum(axis=1, keepdims=True)
        bound = np.abs(value_seen).max() * (2e-6 + slack / total)
        bound += 2e-7 * np.abs(mean).max() + 1e-44
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
    """Return texts that are hard for the arithmetic, by name; 37 tokens, 2 heads."""
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
    mean = qkv[:, 2].mean(axis=0).astype(np.float64)
    if compute_type == "int8":
        _, rest = values_as_quantized(qkv[:, 2, 0])
        mean = mean + rest.mean(axis=0)
    context = attend(isa, compute_type, qkv)
    np.testing.assert_allclose(context, np.broadcast_to(mean, context.shape), atol=1e-5)


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_a_dominating_key_gives_its_value(isa: str, compute_type: str) -> None:
    """Every other key gets exp(-12), the least that 8-bit attention gives to any key."""
    qkv = random_text(30, 1, 16)
    qkv[:, 0] = 1
    qkv[11, 1] = 100
    expected = qkv[11, 2].astype(np.float64)
    if compute_type == "int8":
        mean, rest = values_as_quantized(qkv[:, 2, 0])
        expected = mean + rest[11]
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
    query, key, value = np.ascontiguousarray(qkv[:, :, 0].transpose(1, 0, 2))
    if compute_type == "int8":
        scores = scores_as_quantized(query, key)
        value = np.add(*values_as_quantized(value))
    else:
        scores = query.astype(np.float64) @ key.T.astype(np.float64) / np.sqrt(32)
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
