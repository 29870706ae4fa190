"""float32 linear layers: each output is one chain of fused multiply-adds in index order.

The chain is written out in NumPy and compared to the last bit; larger layers are compared with
float64, and to the last bit with the scalar instruction set.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import _core
from core.isas import Floats, assert_same_bits, special_rows

LANES = 16
ROW_COUNTS = [*range(1, 41), 47, 48, 49, 96, 97]


def run(
    isa: str,
    x: Floats,
    weight: NDArray[Any],
    bias: Floats,
    rows: tuple[int, int] | None = None,
    panels: tuple[int, int] | None = None,
    scale: Floats | None = None,
    factor: Floats | None = None,
) -> Floats:
    """Run the kernel, on all rows and columns by default; outputs it does not write are NaN."""
    rows, panels = rows or (0, len(x)), panels or (0, len(weight) // LANES)
    return _core.layers.linear(isa, "float32", x, weight, scale, bias, factor, False, rows, panels)


def chain(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """Return bias + x0 w0 + x1 w1 + ..., every step rounded once."""
    total: Floats = np.broadcast_to(bias, (len(x), len(weight)))
    for k in range(x.shape[1]):
        total = _core.kernels.soft_fma(x[:, k : k + 1], weight[:, k], total)
    return total


def random_layer(outputs: int, inner: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng([outputs, inner])
    weight = rng.standard_normal((outputs, inner)).astype(np.float32)
    return weight, rng.standard_normal(outputs).astype(np.float32)


def random_rows(rows: int, inner: int) -> Floats:
    return np.random.default_rng([rows, inner]).standard_normal((rows, inner)).astype(np.float32)


@pytest.mark.parametrize("panels", [1, 3, 4])
def test_any_number_of_rows(isa: str, panels: int) -> None:
    weight, bias = random_layer(panels * LANES, 48)
    x = random_rows(max(ROW_COUNTS), 48)
    expected = chain(x, weight, bias)
    for rows in ROW_COUNTS:
        assert_same_bits(run(isa, x[:rows], weight, bias), expected[:rows], f"{rows} rows")


@pytest.mark.parametrize(
    ("outputs", "inner"),
    [(16, 16), (64, 32), (48, 64), (64, 384), (384, 384), (1152, 64), (64, 1536), (1536, 16)],
)
def test_one_chain_in_index_order(isa: str, outputs: int, inner: int) -> None:
    weight, bias = random_layer(outputs, inner)
    x = random_rows(13, inner)
    assert_same_bits(run(isa, x, weight, bias), chain(x, weight, bias))


@pytest.mark.parametrize(("outputs", "inner"), [(1152, 384), (384, 1536), (1536, 384)])
def test_close_to_float64(isa: str, outputs: int, inner: int) -> None:
    weight, bias = random_layer(outputs, inner)
    x = random_rows(15, inner)
    y = run(isa, x, weight, bias)
    exact = x.astype(np.float64) @ weight.T.astype(np.float64) + bias
    # The textbook bound: each of `inner` steps adds at most half a unit of a partial sum.
    bound = inner * 2.0**-24 * (np.abs(x) @ np.abs(weight).T + np.abs(bias))
    assert (np.abs(y - exact) <= bound).all()
    assert_same_bits(y, run("scalar", x, weight, bias))


def test_every_range_of_panels_leaves_the_others_alone(isa: str) -> None:
    weight, bias = random_layer(5 * LANES, 16)
    x = random_rows(14, 16)
    whole = chain(x, weight, bias)
    for begin in range(6):
        for end in range(begin, 6):
            expected = np.full_like(whole, np.nan)
            columns = slice(begin * LANES, end * LANES)
            expected[:, columns] = whole[:, columns]
            actual = run(isa, x, weight, bias, panels=(begin, end))
            assert_same_bits(actual, expected, f"{begin}-{end}")


def test_every_range_of_rows_leaves_the_others_alone(isa: str) -> None:
    weight, bias = random_layer(3 * LANES, 16)
    x = random_rows(29, 16)
    whole = chain(x, weight, bias)
    for begin in range(30):
        for end in range(begin, 30):
            expected = np.full_like(whole, np.nan)
            expected[begin:end] = whole[begin:end]
            actual = run(isa, x, weight, bias, rows=(begin, end))
            assert_same_bits(actual, expected, f"{begin}-{end}")


def test_special_rows_and_columns(isa: str) -> None:
    x = special_rows(48)
    weight = special_rows(48, seed=1)[:, ::-1][np.arange(32) % 15].copy()
    weight[np.abs(weight) > 1e20] = 0  # 1e30 times 1e30 is infinite, and infinities cancel to NaN
    bias = np.resize(np.array([0, -0.0, 1, -1e6, 1e-40], np.float32), 32)
    expected = chain(x, weight, bias)
    assert np.isfinite(expected).all()
    assert ((expected != 0) & (np.abs(expected) < 2.0**-126)).any(), "no subnormal result"
    assert_same_bits(run(isa, x, weight, bias), expected)


def test_negative_zero_stays_only_where_all_terms_are(isa: str) -> None:
    x = np.full((2, 16), -0.0, np.float32)
    x[1, 7] = 0
    y = run(isa, x, np.ones((16, 16), np.float32), np.full(16, -0.0, np.float32))
    assert np.signbit(y[0]).all()
    assert not np.signbit(y[1]).any()


@pytest.mark.parametrize("with_factor", [False, True])
def test_int8_weights_are_multiplied_out(isa: str, with_factor: bool) -> None:
    rng = np.random.default_rng(4)
    weight = rng.integers(-127, 128, (48, 64)).astype(np.int8)
    scale = np.exp(rng.standard_normal(48)).astype(np.float32)
    factor = np.exp(rng.standard_normal(64)).astype(np.float32) if with_factor else None
    bias = rng.standard_normal(48).astype(np.float32)
    x = random_rows(20, 64)
    floats = weight.astype(np.float32) * scale[:, np.newaxis]
    floats = floats if factor is None else floats * factor
    actual = run(isa, x, weight, bias, scale=scale, factor=factor)
    assert_same_bits(actual, run(isa, x, floats, bias))


def test_the_longest_inner_dimension(isa: str) -> None:
    weight, bias = random_layer(16, 32768)
    x = random_rows(3, 32768)
    y = run(isa, x, weight, bias)
    exact = x.astype(np.float64) @ weight.T.astype(np.float64) + bias
    assert np.linalg.norm(y - exact) <= 1e-5 * np.linalg.norm(exact)
    assert_same_bits(y, run("scalar", x, weight, bias))
