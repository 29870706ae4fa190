"""Files of vectors: written block by block in bounded memory, and read back with their space id."""

from __future__ import annotations

from collections.abc import Callable

from bge_micro.vector_files.formats import (
    Block,
    Jsonl,
    Layout,
    Npy,
    Npz,
    Safetensors,
    VectorFormat,
)
from bge_micro.vector_files.read import SavedVectors, VectorFileError, read_vectors

__all__ = [
    "FORMATS",
    "Block",
    "Layout",
    "SavedVectors",
    "VectorFileError",
    "VectorFormat",
    "read_vectors",
]


def _parquet(layout: Layout) -> VectorFormat:
    from bge_micro.vector_files.parquet import Parquet  # needs pyarrow

    return Parquet(layout)


# The format of each file name ending.
FORMATS: dict[str, Callable[[Layout], VectorFormat]] = {
    "npy": Npy,
    "npz": Npz,
    "jsonl": Jsonl,
    "parquet": _parquet,
    "safetensors": Safetensors,
}
