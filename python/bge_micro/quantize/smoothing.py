"""A factor per input feature, which makes inputs more even and does not change the product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# The bounds of factors: for features that are (almost) zero in the texts, and useless factors.
_SMALLEST, _LARGEST = np.float32(2.0**-10), np.float32(2.0**10)


def smoothing_factor(
    input_peaks: Floats, weights: Sequence[Floats], *, strong: bool = False
) -> Floats:
    """Return what to multiply each input feature by before it is quantised.

    With the factor sqrt(largest weight / largest input), both get the same largest magnitude, the
    geometric mean of the two: each takes half of the difference (alpha 0.5 in the literature). Only
    largest values, divisions and square roots are used, so the bits are the same everywhere.

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
    factor[~(ratio > 0) | ~np.isfinite(ratio)] = 1.0  # either is zero: nothing to even out
    clipped: Floats = np.clip(factor, _SMALLEST, _LARGEST).astype(np.float32)
    return clipped
