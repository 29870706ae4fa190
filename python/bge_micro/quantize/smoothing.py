"""A factor per input feature, which evens inputs out and leaves the product what it was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Features that the texts leave (almost) untouched, and factors of no use, stay at the bounds.
_SMALLEST, _LARGEST = np.float32(2.0**-10), np.float32(2.0**10)


def smoothing_factor(
    input_peaks: Floats, weights: Sequence[Floats], *, strong: bool = False
) -> Floats:
    """Return what to multiply each input feature by before it is quantised.

    With the factor sqrt(largest weight / largest input), both come to the same largest magnitude,
    the geometric mean of what they had: half of the difference goes either way (alpha 0.5 in the
    literature). Only largest values, divisions and square roots: the same bits everywhere.

    Args:
        input_peaks: The largest magnitude of each input feature, [in].
        weights: The weights of all layers that read this input, each [out, in].
        strong: Move three quarters into the weights (alpha 0.75).

    Returns:
        float32 [in], in [2^-10, 2^10].
    """
    weight_peaks = np.max([np.abs(weight).max(axis=0) for weight in weights], axis=0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = weight_peaks / input_peaks
        factor = np.sqrt(ratio)
        if strong:
            factor = np.sqrt(factor / input_peaks)
    factor[~(ratio > 0) | ~np.isfinite(factor)] = 1.0  # either is zero: nothing to even out
    clipped: Floats = np.clip(factor, _SMALLEST, _LARGEST).astype(np.float32)
    return clipped
