"""Rounding weights to int8: exact facts, edge cases, and bits that do not depend on the CPU."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from bge_micro.checkpoint import EncoderConfig
from bge_micro.checkpoint.tensors import all_linears
from bge_micro.quantize import (
    dequantize_checkpoint,
    dequantize_rows,
    quantize_checkpoint,
    quantize_rows,
)
from properties import examples


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
@examples(150)
def test_any_finite_weights(weight: NDArray[np.float32]) -> None:
    values, scale = quantize_rows(weight)
    assert values.dtype == np.int8
    assert scale.dtype == np.float32
    assert np.isfinite(scale).all()
    assert (scale > 2.0**-108).all()
    assert values.min() >= -127  # -128 has no positive counterpart
    exact = weight.astype(np.float64)
    error = np.abs(values * scale.astype(np.float64)[:, None] - exact)
    # Half a step, and the roundings of scale and quotient at 127 steps.
    assert (error <= scale[:, None].astype(np.float64) * (0.5 + 127 * 2.0**-22)).all()


def test_known_rows() -> None:
    weight = np.array([[127.0, -127.0, 0.5, 1.5, -2.5], [0.0, -0.0, 0.0, 0.0, 0.0]], np.float32)
    values, scale = quantize_rows(weight)
    assert scale.tolist() == [1.0, 1.0]  # an all-zero row has scale 1
    assert values.tolist() == [[127, -127, 0, 2, -2], [0, 0, 0, 0, 0]]  # ties go to even


def test_rows_do_not_depend_on_each_other() -> None:
    weight = np.random.default_rng(3).normal(size=(9, 33)).astype(np.float32)
    values, scale = quantize_rows(weight)
    for row in range(9):
        alone_values, alone_scale = quantize_rows(weight[row : row + 1])
        assert alone_values.tobytes() == values[row].tobytes()
        assert alone_scale[0] == scale[row]


@pytest.mark.parametrize(
    "maximum", [1e-45, 1e-38, float(np.nextafter(np.float32(2**-100), np.float32(0)))]
)
def test_rows_too_small_to_scale_become_zero(maximum: float) -> None:
    values, scale = quantize_rows(np.array([[maximum, -maximum, 0.0]], np.float32))
    assert values.tolist() == [[0, 0, 0]]
    assert scale.tolist() == [1.0]


def test_smallest_and_largest_rows_that_are_scaled() -> None:
    largest = float(np.finfo(np.float32).max)
    weight = np.array([[2.0**-100, -(2.0**-101)], [largest, -largest]], np.float32)
    values, scale = quantize_rows(weight)
    assert values.tolist() == [[127, -64], [127, -127]]
    assert np.isfinite(scale).all()


def test_bits_are_the_committed_ones() -> None:
    """The same integers and scales on every machine; weights are made from integers, not drawn."""
    steps = np.arange(64 * 96, dtype=np.int64)
    weight = ((steps * 2654435761 % 1000003 - 500001) / 2.0**21).astype(np.float32)
    values, scale = quantize_rows(weight.reshape(64, 96))
    digest = hashlib.sha256(values.tobytes() + scale.tobytes()).hexdigest()
    assert digest == "50f2a7d38237fa715906b9e9b4c7934ade64b79e8bd65ea5201ee23f60e97a86"


def test_input_factor_is_applied_after_the_scale() -> None:
    values = np.array([[1, -3]], np.int8)
    scale = np.array([0.1], np.float32)
    factor = np.array([3.0, 1 / 3], np.float32)
    expected = (np.array([[1, -3]], np.float32) * scale[0]) * factor
    assert dequantize_rows(values, scale, factor).tobytes() == expected.tobytes()


def test_checkpoint_both_ways(
    tiny_tensors: dict[str, NDArray[np.float32]], tiny_config: EncoderConfig
) -> None:
    quantised = quantize_checkpoint(tiny_tensors, tiny_config)
    linears = [linear.name for linear in all_linears(tiny_config)]
    for name in linears:
        assert quantised[f"{name}.weight"].dtype == np.int8
        assert quantised[f"{name}.weight_scale"].dtype == np.float32
    assert quantize_checkpoint(quantised, tiny_config).keys() == quantised.keys()
    back = dequantize_checkpoint(quantised, tiny_config)
    assert back.keys() == tiny_tensors.keys()
    for name, array in tiny_tensors.items():
        if name.removesuffix(".weight") in linears:
            # Smoothing gives features with large inputs finer steps, and the others coarser ones.
            factor = quantised.get(f"{name.removesuffix('.weight')}.input_factor", np.float32(1))
            smoothed = array / factor
            step = np.abs(smoothed).max(axis=1, keepdims=True) / np.float32(127) * factor
            assert (np.abs(back[name] - array) <= step * np.float32(0.51)).all()
        else:
            assert back[name] is array
