"""The core's own fused multiply-add, for CPUs without the instruction.

The oracle is exact: a float is an integer times a power of two; Python's integers have no bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bge_micro import _core
from core.isas import SUPPORTED, Floats, assert_same_bits
from properties import examples

soft_fma = _core.kernels.soft_fma
Triples = NDArray[np.float32]  # [3, n]

LARGEST = float(np.finfo(np.float32).max)
TINIEST = 2.0**-149
SMALLEST_NORMAL = 2.0**-126
INFINITY = 0x7F800000  # its bits
SPECIAL = [
    value * sign
    for value in (
        *(0.0, TINIEST, 3 * TINIEST, SMALLEST_NORMAL - TINIEST, SMALLEST_NORMAL, 2.0**-75),
        *(2.0**-24, 2.0**-24 * (1 - 2.0**-23), 2.0**-23, 0.5, 1 - 2.0**-24, 1.0, 1 + 2.0**-23),
        *(1 + 2.0**-22, 1.5, 2.0**23 + 1, 2.0**24 - 1, 2.0**64, 2.0**127, LARGEST, math.inf),
    )
    for sign in (1.0, -1.0)
] + [math.nan]


def exact_fma(a: float, b: float, c: float) -> float:
    """Return a * b + c for float32 values, rounded once, to the nearest float32, ties to even."""
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c  # the rules for infinities and NaN do not depend on the precision
    factors = [_integer_and_power(value) for value in (a, b, c)]
    (m_a, e_a), (m_b, e_b), (m_c, e_c) = factors
    power = min(e_a + e_b, e_c)
    total = (m_a * m_b << e_a + e_b - power) + (m_c << e_c - power)
    if total == 0:
        # A sum of two zeros of one sign keeps it; every other zero is positive.
        product_sign = math.copysign(1, a) * math.copysign(1, b)
        both_negative = m_a * m_b == 0 and product_sign < 0 and math.copysign(1, c) < 0
        return -0.0 if both_negative else 0.0
    return math.copysign(_rounded(abs(total), power), total)


def _integer_and_power(value: float) -> tuple[int, int]:
    mantissa, exponent = math.frexp(value)
    return int(mantissa * 2**53), exponent - 53


def _rounded(integer: int, power: int) -> float:
    """Return integer * 2**power as the nearest float32."""
    drop = max(integer.bit_length() - 24, -149 - power)
    if drop > 0:
        kept, rest = divmod(integer, 1 << drop)
        half = 1 << drop - 1
        integer, power = kept + (rest > half or (rest == half and kept % 2 == 1)), power + drop
    return math.inf if integer.bit_length() + power > 128 else math.ldexp(integer, power)


def assert_correct(triples: Triples) -> None:
    with np.errstate(all="ignore"):  # NaN and overflow are part of the cases
        expected = [exact_fma(*values) for values in triples.T.astype(np.float64).tolist()]
        assert_same(soft_fma(*triples), np.array(expected, np.float32))


def assert_same(actual: Floats, expected: Floats) -> None:
    """Compare bits, except of NaN, which may differ in sign and payload."""
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    assert_same_bits(np.nan_to_num(actual, nan=7), np.nan_to_num(expected, nan=7))


def floats_of(bits: Iterable[int]) -> Floats:
    floats: Floats = np.array(list(bits), np.uint32).view(np.float32)
    return floats


def random_floats(rng: np.random.Generator, n: int, exponents: range, mantissa_bits: int) -> Floats:
    """Return floats of random sign, with few mantissa bits to get halfway cases."""
    top = rng.integers(0, 1 << mantissa_bits, n)
    mantissa = 1.0 + top / (1 << mantissa_bits)
    exponent = rng.integers(exponents.start, exponents.stop, n)
    floats: Floats = np.ldexp(mantissa * rng.choice([-1.0, 1.0], n), exponent).astype(np.float32)
    return floats


def test_the_oracle_knows_what_double_rounding_gets_wrong() -> None:
    # The product is just below half a unit in the last place of c; a double keeps half a unit.
    a, b, c = 1 + 2.0**-23, 2.0**-24 * (1 - 2.0**-23), 1 + 2.0**-23
    assert np.float32(a * b + c) != np.float32(c)
    assert exact_fma(a, b, c) == c


def test_all_triples_of_special_values() -> None:
    triples = np.array(np.meshgrid(SPECIAL, SPECIAL, SPECIAL), np.float32).reshape(3, -1)
    assert_correct(triples)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3))
@example([0x80000000, 0x3F800000, 0x80000000])
@example([0x00000001, 0x3F000000, 0x80000000])
@examples(250)
def test_any_bits(bits: list[int]) -> None:
    assert_correct(floats_of(bits).reshape(3, 1))


@given(st.integers(0, INFINITY - 1), st.integers(0, INFINITY - 1), st.integers(-3, 3))
@examples(250)
def test_cancellation(a_bits: int, b_bits: int, neighbour: int) -> None:
    """Add a value that almost cancels the product: its rounded value, or a float near it."""
    a, b = floats_of([a_bits, b_bits]).tolist()
    rounded = int(np.array(min(a * b, LARGEST), np.float32).view(np.int32))
    c = -floats_of([min(max(rounded + neighbour, 0), INFINITY)])
    assert_correct(np.array([[a], [b], c], np.float32))


@pytest.mark.parametrize(
    ("factors", "addends", "mantissa_bits"),
    [
        pytest.param(range(-126, 127), range(-126, 127), 23, id="any size"),
        pytest.param(range(-2, 3), range(-27, 28), 23, id="sizes that meet"),
        pytest.param(range(-2, 3), range(-27, 28), 2, id="halfway"),
        pytest.param(range(-80, -60), range(-149, -120), 23, id="subnormal"),
        pytest.param(range(60, 65), range(122, 128), 23, id="overflow"),
    ],
)
def test_random_values(factors: range, addends: range, mantissa_bits: int) -> None:
    rng = np.random.default_rng(0)
    n = 8000
    a, b = (random_floats(rng, n, factors, mantissa_bits) for _ in range(2))
    assert_correct(np.array([a, b, random_floats(rng, n, addends, mantissa_bits)]))


@pytest.mark.parametrize("isa", SUPPORTED)
@pytest.mark.parametrize(
    ("factors", "addends", "mantissa_bits"),
    [
        pytest.param(range(-126, 127), range(-126, 127), 23, id="any size"),
        pytest.param(range(-2, 3), range(-27, 28), 23, id="sizes that meet"),
        pytest.param(range(-2, 3), range(-27, 28), 3, id="halfway"),
        pytest.param(range(-80, -60), range(-149, -120), 23, id="subnormal"),
    ],
)
def test_equal_on_every_instruction_set(
    isa: str, factors: range, addends: range, mantissa_bits: int
) -> None:
    """Compare a million cases in a linear layer of which only the first product is not zero.

    Most instruction sets have the operation in hardware; sse41 runs our replacement on registers.
    """
    rng = np.random.default_rng(1)
    rows, columns, inner = 1024, 1024, 16
    x = np.zeros((rows, inner), np.float32)
    weight = np.zeros((columns, inner), np.float32)
    x[:, 0] = random_floats(rng, rows, factors, mantissa_bits)
    weight[:, 0] = random_floats(rng, columns, factors, mantissa_bits)
    bias = random_floats(rng, columns, addends, mantissa_bits)
    with np.errstate(all="ignore"):
        bias[::4] = -x[::4, 0] * weight[::4, 0]  # the diagonal: leaves the rounding error
    bias[~np.isfinite(bias)] = 1
    result = _core.layers.linear(
        isa, "float32", x, weight, None, bias, None, False, (0, rows), (0, columns // 16)
    )
    # The zero products after the first turn -0.0 into 0.0; adding 0 here does the same.
    assert_same_bits(result, soft_fma(x[:, :1], weight[:, 0], bias) + np.float32(0))
