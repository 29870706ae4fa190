"""Linear algebra whose every sum has a fixed order, so that its bits are the same on every CPU.

NumPy's products and sums do not: BLAS and the length of vectors decide their order. Here each
element gets one multiplication and one subtraction after the other, as separate elementwise
operations, whose results IEEE 754 defines; tiles decide only when an element is computed, not how.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bge_micro import _core

Doubles = NDArray[np.float64]

# Columns that are computed together before their contribution is subtracted from the rest.
BLOCK = 64
# Rows and columns of a tile: three tiles of float64 stay in an L2 cache of 512 KB.
_TILE = 144
# Rows of which the core sums products in one chain of float32. More would lose digits, and the
# chains are added up in float64.
_CHAIN = 512


def gram(rows: NDArray[np.float32], isa: str) -> Doubles:
    """Return rows.T @ rows, float64 [n, n], for float32 [any number, n]."""
    width = rows.shape[1]
    total = np.zeros((width, width))
    no_bias = np.zeros(width, np.float32)
    for start in range(0, len(rows), _CHAIN):
        # [n, _CHAIN]: for the core's linear layer both the input's rows and the weights. Rows of
        # zeros fill the last chain up, and add nothing.
        chain = np.zeros((width, _CHAIN), np.float32)
        part = rows[start : start + _CHAIN]
        chain[:, : len(part)] = part.T
        total += _core.layers.linear(isa, "float32", chain, chain, None, no_bias, None, False)
    return total


def subtract_product(target: Doubles, left: Doubles, right: Doubles) -> None:
    """Subtract left @ right from `target`, one index of the inner dimension after the other.

    Args:
        target: [rows, columns], changed in place.
        left: [rows, inner].
        right: [inner, columns].
    """
    for top in range(0, target.shape[0], _TILE):
        for start in range(0, target.shape[1], _TILE):
            tile = target[top : top + _TILE, start : start + _TILE]
            product = np.empty(tile.shape)
            for k in range(left.shape[1]):
                np.multiply(
                    left[top : top + _TILE, k, np.newaxis],
                    right[k, start : start + _TILE],
                    out=product,
                )
                tile -= product


def upper_factor(matrix: Doubles) -> Doubles:
    """Return the unit upper triangular U of matrix = U D U.T, with D diagonal.

    Args:
        matrix: Symmetric and positive definite, [n, n]; overwritten.

    Raises:
        ValueError: It is not positive definite.
    """
    size = len(matrix)
    factor = np.eye(size)
    for stop in range(size, 0, -BLOCK):
        start = max(stop - BLOCK, 0)
        pivots = np.empty(stop - start)
        for k in range(stop - 1, start - 1, -1):
            pivot = matrix[k, k]
            if not pivot > 0:
                raise ValueError("the inputs' second moments are not positive definite.")
            column = matrix[:k, k] / pivot
            factor[:k, k] = column
            pivots[k - start] = pivot
            subtract_product(
                matrix[:k, start:k], column[:, np.newaxis], (column[start:k] * pivot)[np.newaxis]
            )
        # Descending, as above, so that the bits do not depend on the size of a block.
        block = factor[:start, start:stop][:, ::-1]
        subtract_product(matrix[:start, :start], block, (block * pivots[::-1]).T)
    return factor
