"""Second-order rounding: the error of one weight is made up for by those not rounded yet.

For inputs X the error of a rounded row w' is (w' - w) H (w' - w).T with H = X.T X. With
H = U D U.T, U unit upper triangular, it is the sum over features k of D[k] times the square of
(w' - w)[k] + sum over j < k of (w' - w)[j] U[j, k]: rounding w[k] minus that sum makes each term as
small as a rounding can. (This is LDLQ, which gives what GPTQ gives without inverting H.)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bge_micro.quantize.ordered import BLOCK, Doubles, subtract_product, upper_factor
from bge_micro.quantize.rows import quantize_rows


class Rounding(NamedTuple):
    """How weights are rounded.

    Attributes:
        damping: Added to the diagonal of the moments, as a part of its mean. Literature has 0.01;
            but a few outliers make up most of the mean, and texts of another kind than those
            calibrated by lose less with more: on all-MiniLM-L6-v2 0.01 can be worse there than
            plain rounding, 0.3 is not.
        most_rms: The largest root mean square of a row's integers; None for no bound. Rows without
            outliers get 40 by their scale alone. Smaller integers round more coarsely, but more of
            them fit the 16-bit sums of AVX2 without extra steps (cpp/kernels/packed.h).
    """

    damping: float = 0.3
    most_rms: float | None = None


DEFAULT_ROUNDING = Rounding()


def round_second_order(
    weights: NDArray[np.float32], moments: Doubles, rounding: Rounding = DEFAULT_ROUNDING
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantise a linear layer's weights for inputs of given second moments.

    Args:
        weights: float32 [out, in], finite.
        moments: X.T X of the inputs, [in, in].
        rounding: How to round.

    Returns:
        int8 [out, in] in [-127, 127] and the scales, float32 [out]: those of `quantize_rows`, or
        larger where `most_rms` asks for it.
    """
    _, scale = quantize_rows(weights)
    if rounding.most_rms is not None:
        scale = np.maximum(scale, (_rms(weights) / rounding.most_rms).astype(np.float32))
    # Features that matter most are rounded first, while all others can still make up for them.
    order = np.argsort(-np.diag(moments), kind="stable")
    damping = rounding.damping * math.fsum(np.diag(moments)) / len(moments)
    damped = moments[np.ix_(order, order)]
    damped[np.diag_indices_from(damped)] += damping if damping > 0 else 1.0
    factor = upper_factor(damped)

    steps = scale.astype(np.float64)[:, np.newaxis]
    exact = weights.astype(np.float64)[:, order] / steps
    wanted = exact.copy()  # less what the errors so far ask for
    values = np.empty_like(wanted)
    for start in range(0, len(order), BLOCK):
        stop = min(start + BLOCK, len(order))
        errors = np.empty((len(wanted), stop - start))
        for k in range(start, stop):
            values[:, k] = np.clip(np.rint(wanted[:, k]), -127, 127)
            errors[:, k - start] = values[:, k] - exact[:, k]
            subtract_product(
                wanted[:, k + 1 : stop],
                errors[:, k - start, np.newaxis],
                factor[k, np.newaxis, k + 1 : stop],
            )
        subtract_product(wanted[:, stop:], errors, factor[start:stop, stop:])
    result = np.empty(values.shape, np.int8)
    result[:, order] = values
    return result, scale


def _rms(rows: NDArray[np.float32]) -> Doubles:
    """Return the root mean square of each row, [rows]."""
    # An accumulated sum, unlike NumPy's own, has one order everywhere.
    squares = np.cumsum(np.square(rows, dtype=np.float64), axis=1)
    rms: Doubles = np.sqrt(squares[:, -1] / rows.shape[1])
    return rms
