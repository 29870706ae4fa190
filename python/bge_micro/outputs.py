"""What `encode` gives: length, norm and precision of vectors, and the id of their space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PRECISIONS: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "int8": np.dtype(np.int8),
    "uint8": np.dtype(np.uint8),
    "binary": np.dtype(np.int8),
    "ubinary": np.dtype(np.uint8),
}


class VectorForm(NamedTuple):
    """The form of vectors: truncated to `dimensions`, then perhaps normalised, then quantised.

    Attributes:
        dimensions: Their length.
        normalize: Whether they are brought to unit length, after truncating.
        precision: One of `PRECISIONS`.
        normalize_whole: Whether the model brings them to unit length before they are truncated.
            Not together with `normalize`, which would leave nothing of it.
    """

    dimensions: int
    normalize: bool
    precision: str
    normalize_whole: bool = False

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


def check_precision(precision: str) -> str:
    """Return `precision` if it is one of `PRECISIONS`.

    Raises:
        ValueError: It is not.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}.")
    return precision


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


def check_ranges(ranges: Any, form: VectorForm) -> NDArray[np.float32]:
    """Return the smallest and the largest value of each dimension, shape (2, dimensions).

    Raises:
        ValueError: The form is not int8 or uint8, or the ranges have another shape or are none.
    """
    if form.precision not in ("int8", "uint8"):
        raise ValueError(f"ranges apply to the precisions int8 and uint8, not {form.precision!r}.")
    limits = np.asarray(ranges, np.float32)
    if limits.shape != (2, form.dimensions):
        raise ValueError(
            f"ranges has shape {limits.shape}, expected (2, {form.dimensions}): "
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
    """Return what makes a torch tensor of an array; ImportError if torch is not installed."""
    try:
        import torch  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ImportError(
            "convert_to_tensor=True needs torch (pip install torch); without it, take NumPy arrays."
        ) from error
    return torch.from_numpy  # type: ignore[no-any-return, unused-ignore]
