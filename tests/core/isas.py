"""The instruction sets this CPU can run, and how their results are compared."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro import _core

Floats = NDArray[np.float32]

# This names the instruction sets to test on an emulated CPU; other CPUs test the rest.
CHOSEN = os.environ.get("BGE_MICRO_TEST_ISAS", "").split()

SUPPORTED = [
    name
    for name, supported in _core.instruction_sets()
    if supported and (not CHOSEN or name in CHOSEN)
]
# These have no fused multiply-add or, in int8, a model of their CPU's tile unit.
SLOW = [name for name in SUPPORTED if name in ("scalar", "sse41", "amx_int8_model")]
HARDWARE = [name for name in SUPPORTED if name not in SLOW]


def assert_same_bits(actual: NDArray[Any], expected: NDArray[Any], what: str = "") -> None:
    """Fail unless both arrays have the same shape, type and bytes: -0.0 differs from 0.0."""
    assert actual.dtype == expected.dtype, what
    assert actual.shape == expected.shape, what
    if actual.tobytes() != expected.tobytes():
        raw = f"u{actual.itemsize}"
        actual, expected = np.ascontiguousarray(actual), np.ascontiguousarray(expected)
        places = np.argwhere(actual.view(raw) != expected.view(raw))
        first = tuple(places[0])
        raise AssertionError(
            f"{what}: {len(places)} of {actual.size} values differ, the first at {first}: "
            f"{actual[first]!r}, expected {expected[first]!r}"
        )


def gelu(isa: str, compute_type: str, x: Floats) -> Floats:
    """Return the kernel's GELU of x [n], n a multiple of 16; a negative zero becomes zero.

    No kernel computes GELU alone: here x is the bias of a layer whose weights are zeros.
    """
    int8 = compute_type == "int8"
    return _core.layers.linear(
        isa,
        compute_type,
        np.zeros((1, 16), np.float32),
        np.zeros((len(x), 16), np.int8 if int8 else np.float32),
        np.ones(len(x), np.float32) if int8 else None,
        x,
        None,
        True,
        (0, 1),
        (0, len(x) // 16),
    ).reshape(-1)


def special_rows(width: int, seed: int = 0) -> Floats:
    """Return rows that are hard for a kernel: zeros of both signs, constants, outliers, subnormals.

    Every row is finite, and so is the difference of any two of its values.
    """
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(width).astype(np.float32)
    outlier = noise * np.float32(1e-3)
    outlier[rng.integers(width)] = 1e6
    low_outlier = noise.copy()
    low_outlier[0] = -1e6
    last_positive = np.full(width, -1, np.float32)
    last_positive[-1] = 1
    rows = [
        np.zeros(width),
        np.full(width, -0.0),
        np.full(width, 3.0),
        np.full(width, -0.1),
        np.where(np.arange(width) % 2 == 0, 1.0, -1.0),
        last_positive,
        outlier,
        low_outlier,
        np.abs(noise),
        -np.abs(noise),
        noise * np.float32(1e-40),  # subnormal
        np.where(np.arange(width) % 3 == 0, 1e-38, noise),
        noise * np.float32(1e-31),  # narrower than the quantiser's smallest range
        noise * np.float32(1e30),
        np.float32(1e4) + noise,
    ]
    return np.array(rows, dtype=np.float32)
