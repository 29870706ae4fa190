"""The functions of `sentence_transformers.util` that people import with the class.

They take arrays, torch tensors, and lists of them, and give tensors for tensors and arrays for
arrays. Searching is done by the core, whose scores are the same bits on every CPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro import similarity
from bge_micro.choices import PRECISIONS, Precision, check_choice
from bge_micro.outputs import quantize_by_ranges
from bge_micro.search import (
    community_detection,
    paraphrase_mining,
    paraphrase_mining_embeddings,
    semantic_search,
)

__all__ = [
    "community_detection",
    "cos_sim",
    "dot_score",
    "normalize_embeddings",
    "pairwise_cos_sim",
    "pairwise_dot_score",
    "paraphrase_mining",
    "paraphrase_mining_embeddings",
    "quantize_embeddings",
    "semantic_search",
]


def cos_sim(a: Any, b: Any) -> Any:
    """Return the cosine of every vector of `a` with every vector of `b`: float32 (n, m)."""
    return similarity.similarity("cosine", a, b)


def dot_score(a: Any, b: Any) -> Any:
    """Return the dot product of every vector of `a` with every one of `b`: float32 (n, m)."""
    return similarity.similarity("dot", a, b)


def pairwise_cos_sim(a: Any, b: Any) -> Any:
    """Return the cosine of the vectors of each row: float32 (n,)."""
    return similarity.similarity_pairwise("cosine", a, b)


def pairwise_dot_score(a: Any, b: Any) -> Any:
    """Return the dot product of the vectors of each row: float32 (n,)."""
    return similarity.similarity_pairwise("dot", a, b)


def normalize_embeddings(embeddings: Any) -> Any:
    """Bring n vectors to unit length: float32 (n, columns); vectors of zeros stay as they are.

    NumPy computes the lengths; `encode(normalize_embeddings=True)` computes them in a fixed order.
    """
    rows = similarity.as_array(embeddings).astype(np.float32, copy=False)
    return similarity.as_given(similarity.unit(rows), embeddings)


def quantize_embeddings(
    embeddings: Any,
    precision: Precision,
    ranges: Any = None,
    calibration_embeddings: Any = None,
) -> NDArray[Any]:
    """Quantise float vectors as sentence-transformers does, to an array.

    `encode(precision="int8")` quantises each vector by itself instead, and needs no ranges.

    Args:
        embeddings: Floats (n, columns).
        precision: "float32"; "int8" or "uint8", by the ranges of each column; "ubinary" for the
            signs, eight to a byte, "binary" for that minus 128.
        ranges: Smallest and largest values, (2, columns), for int8 and uint8.
        calibration_embeddings: Vectors whose ranges are used if there are no `ranges`; without
            them, those of `embeddings` themselves.

    Returns:
        (n, columns) of float32, int8 or uint8; for bits (n, columns / 8), rounded up.

    Raises:
        TypeError: The vectors are not floats.
        ValueError: The precision is unknown, the ranges have another shape, or there is one vector
            only to take them from.
    """
    vectors = similarity.as_array(embeddings)
    if vectors.dtype.kind != "f":
        raise TypeError(f"embeddings are {vectors.dtype}, expected floats.")
    check_choice("precision", precision, PRECISIONS)
    if precision == "float32":
        return vectors.astype(np.float32)
    if precision in ("binary", "ubinary"):
        bits = np.packbits(vectors > 0, axis=-1)
        return bits if precision == "ubinary" else (bits ^ np.uint8(128)).view(np.int8)
    limits = _limits(vectors, ranges, calibration_embeddings)
    out = np.empty(vectors.shape, precision)
    quantize_by_ranges(vectors.astype(np.float32, copy=False), limits, out)
    return out


def _limits(vectors: NDArray[Any], ranges: Any, calibration: Any) -> NDArray[np.float32]:
    """Return the smallest and the largest value of each column: float32 (2, columns)."""
    if ranges is None:
        sample = vectors if calibration is None else similarity.as_array(calibration)
        if calibration is None and (sample.ndim != 2 or len(sample) == 1):
            raise ValueError(
                "one vector has no ranges of its own; pass ranges or calibration_embeddings, or "
                "let encode(precision=...) quantise it."
            )
        if len(sample) == 0:
            return np.zeros((2, vectors.shape[-1]), np.float32)
        ranges = np.stack([sample.min(axis=0), sample.max(axis=0)])
    limits = similarity.as_array(ranges).astype(np.float32, copy=False)
    if limits.shape != (2, vectors.shape[-1]):
        raise ValueError(
            f"ranges have shape {limits.shape}, expected (2, {vectors.shape[-1]}): the smallest "
            "and the largest value of each column."
        )
    return limits
