"""Rows of float weights to int8 with one scale each, and back.

Only the largest magnitude, a division and a rounding are used: operations whose result is the same
on every CPU and in every floating-point mode with rounding to nearest. NumPy's sums are not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A row whose largest weight is smaller than this becomes all zeros with scale 1. The bound is so
# far above the smallest normal float32 (2^-126) that neither a scale nor a rounded quotient can
# depend on whether the CPU flushes subnormal numbers to zero.
SMALLEST_ROW_MAXIMUM = np.float32(2.0**-100)


def quantize_rows(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantise a linear layer's weights symmetrically, one scale per output channel.

    Args:
        weight: float32 [out, in], finite.

    Returns:
        int8 [out, in] in [-127, 127] and the scales, float32 [out]: the weights are about
        ``values * scale[:, None]``, off by at most half a scale.
    """
    magnitude = np.abs(weight).max(axis=1)
    tiny = magnitude < SMALLEST_ROW_MAXIMUM
    scale = np.where(tiny, np.float32(1.0), magnitude / np.float32(127.0)).astype(np.float32)
    values = np.rint(weight / scale[:, None])
    return values.astype(np.int8), scale


def dequantize_rows(
    values: NDArray[np.int8],
    scale: NDArray[np.float32],
    input_factor: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the float weights that quantised weights represent.

    Args:
        values: int8 [out, in].
        scale: float32 [out].
        input_factor: float32 [in], by which the layer's input is multiplied; None for 1.

    Returns:
        float32 [out, in], ``(values * scale) * input_factor``, rounded after each product.
    """
    weight: NDArray[np.float32] = values.astype(np.float32) * scale[:, None]
    return weight if input_factor is None else weight * input_factor
