"""The arrays that vectors are written to, and conversions of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bge_micro.plan import Plan


def rows_for(out: NDArray[Any] | None, rows: int, plan: Plan) -> NDArray[Any]:
    """Return the array that vectors are written to: `out` if it fits, else a new one.

    Raises:
        TypeError: `out` is not a NumPy array.
        ValueError: `out` has another shape or dtype, or cannot be written in C order.
    """
    shape = (rows, plan.columns)
    if out is None:
        return np.empty(shape, plan.dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__name__}, expected a NumPy array.")
    if out.shape != shape or out.dtype != plan.dtype:
        raise ValueError(
            f"out has shape {out.shape} and dtype {out.dtype}, expected {shape} and {plan.dtype}."
        )
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError("out must be writable and in C order.")
    return out


def check_ranges(ranges: ArrayLike, plan: Plan) -> NDArray[np.float32]:
    """Return the smallest and the largest value of each dimension, shape (2, dimensions).

    Raises:
        ValueError: The precision is not int8 or uint8, or the ranges have another shape or NaN.
    """
    if plan.precision not in ("int8", "uint8"):
        raise ValueError(f"ranges apply to the precisions int8 and uint8, not {plan.precision!r}.")
    limits = np.array(ranges, np.float32)  # a copy, so that no thread changes it after the check
    if limits.shape != (2, plan.dimensions):
        raise ValueError(
            f"ranges has shape {limits.shape}, expected (2, {plan.dimensions}): "
            "the smallest and the largest value of each dimension."
        )
    if not np.all(limits[1] >= limits[0]):
        raise ValueError("ranges has a largest value below its smallest, or NaN.")
    return limits


def quantize_by_ranges(
    vectors: NDArray[np.float32], limits: NDArray[np.float32], out: NDArray[Any]
) -> None:
    """Quantise by the ranges of each dimension, as sentence-transformers does.

    The value is ``floor((vectors - starts) / steps)`` clipped to [0, 255], with
    ``steps = (ends - starts) / 255``, or 1 where that is 0; minus 128 for int8.

    Args:
        vectors: float32, shape (n, dimensions).
        limits: What `check_ranges` returned.
        out: int8 or uint8, shape (n, dimensions).
    """
    starts, ends = limits
    steps = (ends - starts) / np.float32(255)
    steps = np.where(steps == 0, np.float32(1), steps)
    levels = np.clip(np.floor((vectors - starts) / steps), 0, 255)
    out[...] = levels if out.dtype == np.uint8 else levels - np.float32(128)


def tensor_maker() -> Callable[[NDArray[Any]], Any]:
    """Return the function that converts an array to a torch tensor; ImportError without torch."""
    try:
        import torch  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ImportError(
            "convert_to_tensor=True needs torch (pip install torch); without it, take NumPy "
            "arrays.",
            name=error.name,
        ) from error
    return torch.from_numpy  # type: ignore[no-any-return, unused-ignore]
