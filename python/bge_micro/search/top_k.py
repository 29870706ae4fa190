"""The k best rows of a matrix for each query, exactly, by the core."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bge_micro import _core
from bge_micro.choices import PRECISIONS, check_choice
from bge_micro.options import check_positive
from bge_micro.plan import DTYPES
from bge_micro.runtime import choose_isa, choose_threads
from bge_micro.similarity import as_array

METRICS = ("cosine", "dot")

_ELEMENTS = {name: name for name in ("float32", "int8", "uint8")} | {
    "binary": "bits",
    "ubinary": "bits",
}


class TopK(NamedTuple):
    """The rows found, best first; if scores are equal, the lower row comes first.

    Attributes:
        indices: int64, (queries, k): numbers of rows; (k,) for a single query.
        scores: The same shape: float32; int32 for dot products of int8, uint8 and binary.
    """

    indices: NDArray[np.int64]
    scores: NDArray[Any]


def top_k(
    queries: ArrayLike,
    corpus: ArrayLike,
    k: int = 10,
    *,
    metric: str = "cosine",
    precision: str | None = None,
    threads: int | None = None,
) -> TopK:
    """Find the k best rows of a corpus for each query.

    Every score is computed, in a fixed order, so that the result is the same to the last bit with
    any number of threads on every CPU. The corpus is not copied; it may be a memory map.

    Args:
        queries: (n, columns), or one vector, (columns,).
        corpus: (rows, columns), as `encode` gives it in the same precision.
        k: How many rows to find; all if there are fewer.
        metric: "cosine" or "dot". Bits mean +1 and -1: if h of d bits differ, "dot" is d - 2h, and
            "cosine" is "dot" divided by d. Bits of a byte that `truncate_dim` leaves unused count
            as equal.
        precision: Of both: "float32", "int8", "uint8", "binary" or "ubinary"; None takes it from
            the corpus's dtype, which cannot tell binary from int8.
        threads: The most threads to use; None for what the process may use.

    Raises:
        ValueError: The vectors have different lengths or dtypes, or an option makes no sense.
    """
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}, expected one of {', '.join(METRICS)}.")
    rows = as_array(corpus)
    precision = precision or _precision_of(rows)
    rows, asked = _matrix("corpus", rows, precision), as_array(queries)
    single = asked.ndim == 1
    asked = _matrix("queries", np.atleast_2d(asked), precision)
    if asked.shape[1] != rows.shape[1]:
        raise ValueError(
            f"queries have {asked.shape[1]} columns and the corpus {rows.shape[1]}, expected equal."
        )
    indices, scores = _core.top_k(
        asked,
        rows,
        min(check_positive("k", k), len(rows)),
        element=_ELEMENTS[precision],
        metric=metric,
        threads=int(choose_threads(threads).value),
        isa=choose_isa().value,
    )
    return TopK(indices[0], scores[0]) if single else TopK(indices, scores)


def _precision_of(array: NDArray[Any]) -> str:
    return array.dtype.name if array.dtype.name in ("int8", "uint8") else "float32"


def _matrix(name: str, array: NDArray[Any], precision: str) -> NDArray[Any]:
    """Return vectors as the core takes them: a matrix in C order, of the precision's dtype."""
    dtype = DTYPES[check_choice("precision", precision, PRECISIONS)]
    if array.ndim != 2:
        raise ValueError(f"{name}: {array.ndim} dimensions, expected 2.")
    if precision == "float32" and array.dtype.kind == "f":
        array = array.astype(dtype, copy=False)
    if array.dtype != dtype:
        raise ValueError(f"{name}: dtype {array.dtype}, expected {dtype} for {precision}.")
    return np.require(array, requirements=["C", "A"])
