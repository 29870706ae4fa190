"""Files of vectors: written block by block in bounded memory, and read back with their space id."""

from __future__ import annotations

from bge_micro.vector_files.formats import FORMATS, Block, Layout, VectorFormat
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
