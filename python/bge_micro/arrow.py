"""Vectors as Arrow's fixed-size lists. Needs pyarrow, the extra ``bge-micro[arrow]``."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def import_pyarrow() -> Any:
    """Import pyarrow; an ImportError says how to get it."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(
            "Arrow and Parquet need pyarrow: pip install 'bge-micro[arrow]'", name=error.name
        ) from error
    return pyarrow


def to_arrow(vectors: NDArray[Any]) -> Any:
    """Return vectors as a `pyarrow.FixedSizeListArray`, which DuckDB, Polars and Lance read.

    Args:
        vectors: What `encode` returned for a list: (rows, columns) of float32, int8 or uint8. An
            array in C order is not copied.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: The array has not two dimensions.
    """
    if vectors.ndim != 2:
        raise ValueError(f"vectors have {vectors.ndim} dimensions, expected 2.")
    arrow = import_pyarrow()
    values = arrow.array(vectors.reshape(-1))
    return arrow.FixedSizeListArray.from_arrays(values, vectors.shape[1])
