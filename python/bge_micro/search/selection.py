"""The best rows among some rows of several matrices, as `top_k` would find them in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.search.top_k import TopK, top_k

# Rows that are copied together to be searched: 96 MiB of float32 vectors of 384 columns.
_MOST_ROWS = 1 << 16


def top_k_of_blocks(
    queries: NDArray[Any],
    blocks: Sequence[NDArray[Any]],
    rows: NDArray[np.int64] | None,
    k: int,
    **options: Any,
) -> TopK:
    """Find the k best rows for each query.

    A row's score is the same in every matrix, so that the result is that of one search.

    Args:
        queries: (n, columns).
        blocks: Matrices (rows, columns), whose rows are counted through.
        rows: The numbers of the rows to search among, ascending; None for all.
        k: How many to find; fewer if there are not so many.
        **options: For `top_k`.
    """
    found = [
        (first + part.indices if some is None else some[part.indices], part.scores)
        for first, some, matrix in _parts(blocks, rows)
        for part in [top_k(queries, matrix, k, **options)]
    ]
    if not found:
        return top_k(queries, blocks[0][:0], k, **options)
    if len(found) == 1:
        return TopK(*found[0])
    indices, scores = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))
    # Parts are in the order of rows and each has the lower row first, so that a stable sort leaves
    # of equal scores the lower row first. NaN counts as minus infinity.
    order = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), axis=1, kind="stable")[:, :k]
    return TopK(np.take_along_axis(indices, order, 1), np.take_along_axis(scores, order, 1))


def _parts(
    blocks: Sequence[NDArray[Any]], rows: NDArray[np.int64] | None
) -> Iterator[tuple[int, NDArray[np.int64] | None, NDArray[Any]]]:
    """Yield matrices to search: the first row's number, or the numbers of all, and the rows."""
    first = 0
    for block in blocks:
        if rows is None and len(block):
            yield first, None, block
        elif rows is not None:
            begin, end = np.searchsorted(rows, [first, first + len(block)])
            for at in range(begin, end, _MOST_ROWS):
                some = rows[at : min(at + _MOST_ROWS, end)]
                yield first, some, block[some - first]
        first += len(block)
