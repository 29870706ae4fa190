"""What `encode` gives: length, norm and precision of vectors, and the id of their space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRECISIONS: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "int8": np.dtype(np.int8),
    "uint8": np.dtype(np.uint8),
    "binary": np.dtype(np.int8),
    "ubinary": np.dtype(np.uint8),
}


@dataclass(frozen=True)
class VectorForm:
    """The form of vectors: truncated to `dimensions`, then perhaps normalised, then quantised."""

    dimensions: int
    normalize: bool
    precision: str

    def __post_init__(self) -> None:
        """Check the precision."""
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}."
            )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of a row."""
        return PRECISIONS[self.precision]

    @property
    def columns(self) -> int:
        """Elements of a row: dimensions, or bytes of eight signs."""
        if self.precision in ("binary", "ubinary"):
            return (self.dimensions + 7) // 8
        return self.dimensions


def rows_for(out: NDArray[Any] | None, rows: int, form: VectorForm) -> NDArray[Any]:
    """Return the array that vectors are written to: `out` if it fits, else a new one.

    Raises:
        TypeError: `out` is not a NumPy array.
        ValueError: `out` has another shape or dtype, or cannot be written in C order.
    """
    shape = (rows, form.columns)
    if out is None:
        return np.empty(shape, form.dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__name__}, expected a NumPy array.")
    if out.shape != shape or out.dtype != form.dtype:
        raise ValueError(
            f"out has shape {out.shape} and dtype {out.dtype}, expected {shape} and {form.dtype}."
        )
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError("out must be writable and in C order.")
    return out


def quantize_by_ranges(
    vectors: NDArray[np.float32], ranges: Any, precision: str
) -> NDArray[np.int8] | NDArray[np.uint8]:
    """Quantise by given ranges of each dimension, as sentence-transformers does.

    Args:
        vectors: float32, shape (n, dimensions).
        ranges: Smallest and largest value of each dimension, shape (2, dimensions).
        precision: "int8" or "uint8".

    Returns:
        int8 or uint8, shape (n, dimensions): ``floor((vectors - starts) / steps)`` clipped to
        [0, 255], with ``steps = (ends - starts) / 255``, or 1 where that is 0; minus 128 for int8.

    Raises:
        ValueError: The precision is another, or the ranges have another shape or are not ranges.
    """
    if precision not in ("int8", "uint8"):
        raise ValueError(f"ranges apply to the precisions int8 and uint8, not {precision!r}.")
    limits = np.asarray(ranges, np.float32)
    if limits.shape != (2, vectors.shape[-1]):
        raise ValueError(
            f"ranges has shape {limits.shape}, expected (2, {vectors.shape[-1]}): "
            "the smallest and the largest value of each dimension."
        )
    starts, ends = limits
    if not np.all(ends >= starts):
        raise ValueError("ranges has a largest value below its smallest, or NaN.")
    steps = (ends - starts) / np.float32(255)
    steps = np.where(steps == 0, np.float32(1), steps)
    levels: NDArray[np.float32] = np.clip(np.floor((vectors - starts) / steps), 0, 255)
    if precision == "uint8":
        return levels.astype(np.uint8)
    return (levels - np.float32(128)).astype(np.int8)
