"""Similarity of vectors, by sentence-transformers' four functions.

NumPy computes the sums, in an order that depends on the CPU: the promise of equal bits ends here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bge_micro.choices import SIMILARITY_FUNCTIONS, SimilarityFunction, check_choice

Matrix = NDArray[np.float32]


def is_tensor(vectors: Any) -> bool:
    """Whether vectors are a torch tensor, or a list of them; torch itself is not imported."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    some = vectors[0] if isinstance(vectors, (list, tuple)) and vectors else vectors
    return isinstance(some, torch.Tensor)


def as_array(vectors: Any) -> NDArray[Any]:
    """Return vectors as an array: what NumPy takes, and torch tensors or lists of them."""
    if not is_tensor(vectors):
        return np.asarray(vectors)
    import torch  # type: ignore[import-not-found, unused-ignore]  # the caller has imported it

    tensor = torch.stack(list(vectors)) if isinstance(vectors, (list, tuple)) else vectors
    tensor = tensor.detach().cpu()
    # NumPy does not have this type.
    array: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def as_given(result: NDArray[Any], *given: Any) -> Any:
    """Return a result as a tensor if one of the given vectors is, else as it is."""
    if not any(map(is_tensor, given)):
        return result
    import torch

    return torch.from_numpy(result)


def _rows(vectors: ArrayLike) -> Matrix:
    matrix = np.atleast_2d(as_array(vectors).astype(np.float32, copy=False))
    if matrix.ndim != 2:
        raise ValueError(f"vectors have {matrix.ndim} dimensions, expected 1 or 2.")
    return matrix


def unit(matrix: Matrix) -> Matrix:
    """Return rows divided by their lengths; rows of zeros stay as they are."""
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    result: Matrix = matrix / np.maximum(lengths, np.float32(1e-12))
    return result


def _manhattan(a: Matrix, b: Matrix) -> Matrix:
    # Row by row: the differences of all pairs at once would not fit into memory.
    if len(a) == 0:
        return np.empty((0, len(b)), np.float32)
    return np.stack([-np.abs(row - b).sum(axis=1) for row in a])


def _euclidean(a: Matrix, b: Matrix) -> Matrix:
    if len(a) == 0:
        return np.empty((0, len(b)), np.float32)
    return np.stack([-np.linalg.norm(row - b, axis=1) for row in a])


_MATRICES: dict[str, Callable[[Matrix, Matrix], Matrix]] = {
    "cosine": lambda a, b: unit(a) @ unit(b).T,
    "dot": lambda a, b: a @ b.T,
    "euclidean": _euclidean,
    "manhattan": _manhattan,
}

_PAIRS: dict[str, Callable[[Matrix, Matrix], Matrix]] = {
    "cosine": lambda a, b: (unit(a) * unit(b)).sum(axis=1),
    "dot": lambda a, b: (a * b).sum(axis=1),
    "euclidean": lambda a, b: -np.linalg.norm(a - b, axis=1),
    "manhattan": lambda a, b: -np.abs(a - b).sum(axis=1),
}


def check_name(name: Any) -> SimilarityFunction:
    """Return the name of a similarity function; a ValueError for any other value."""
    name = getattr(name, "value", name)  # sentence-transformers' SimilarityFunction
    return check_choice("similarity_fn_name", name, SIMILARITY_FUNCTIONS)


def similarity(name: str, a: Any, b: Any) -> Any:
    """Compare every vector of `a` with every vector of `b`.

    Args:
        name: "cosine", "dot", "euclidean" or "manhattan"; distances have a minus sign, so that
            a larger value means nearer.
        a: Shape (n, dimensions), or one vector: an array, a tensor or a list of them.
        b: Shape (m, dimensions), or one vector.

    Returns:
        float32, shape (n, m): a tensor if `a` or `b` is one, else an array.

    Raises:
        ValueError: The vectors have different lengths, or more than two dimensions.
    """
    return as_given(_MATRICES[name](*_same_length(_rows(a), _rows(b))), a, b)


def similarity_pairwise(name: str, a: Any, b: Any) -> Any:
    """Compare each vector of `a` with the one in the same row of `b`.

    Returns:
        float32, shape (n,): a tensor if `a` or `b` is one, else an array.

    Raises:
        ValueError: The shapes differ, or have more than two dimensions.
    """
    left, right = _same_length(_rows(a), _rows(b))
    if len(left) != len(right):
        raise ValueError(f"pairs need as many rows on both sides, found {len(left)}, {len(right)}.")
    return as_given(_PAIRS[name](left, right), a, b)


def _same_length(a: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"vectors have {a.shape[1]} and {b.shape[1]} dimensions, expected equal.")
    return a, b
