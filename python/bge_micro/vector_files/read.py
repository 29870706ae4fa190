"""Read files of vectors that name their space."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class VectorFileError(ValueError):
    """A file of vectors is damaged, or does not name the space of its vectors."""


@dataclass(frozen=True)
class SavedVectors:
    """Vectors of a file.

    Attributes:
        vectors: (rows, columns).
        space_id: The name of their space.
        texts: Their texts; None if they were not saved.
        numbers: The numbers of their rows in what was embedded, (rows,); None for 0, 1, ...
    """

    vectors: NDArray[Any]
    space_id: str
    texts: list[str] | None = None
    numbers: NDArray[np.integer[Any]] | None = None


def read_vectors(path: str | Path) -> SavedVectors:
    """Read what `bge-micro embed` wrote as .npz, .safetensors or .parquet.

    Raises:
        FileNotFoundError: There is no such file.
        VectorFileError: It does not contain vectors and their space id.
        ImportError: It is Parquet, and pyarrow is not installed.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise VectorFileError(
            f"{path}: expected a file that names its vectors' space: {', '.join(_READERS)}."
        )
    try:
        saved = reader(path)
    except VectorFileError:
        raise
    except (KeyError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise VectorFileError(f"{path}: holds no vectors with a space id: {error}") from error
    if saved.vectors.ndim != 2:
        raise VectorFileError(
            f"{path}: the vectors have {saved.vectors.ndim} dimensions, expected 2."
        )
    numbers, rows = saved.numbers, len(saved.vectors)
    if numbers is not None and (numbers.dtype.kind, numbers.shape) != (
        "i",
        saved.vectors.shape[:1],
    ):
        raise VectorFileError(
            f"{path}: the numbers of the rows are {numbers.dtype} {numbers.shape}, expected "
            f"whole numbers ({rows},)."
        )
    return saved


def _read_npz(path: Path) -> SavedVectors:
    with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as archive:
        numbers = archive.get("rows")
        return SavedVectors(archive["embeddings"], str(archive["space_id"]), numbers=numbers)


def _read_safetensors(path: Path) -> SavedVectors:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            numbers = file.get_tensor("rows") if "rows" in file.keys() else None  # noqa: SIM118
            vectors = file.get_tensor("embeddings")
            return SavedVectors(vectors, metadata["space_id"], numbers=numbers)
    except SafetensorError as error:
        raise VectorFileError(f"{path}: {error}") from error


def _read_parquet(path: Path) -> SavedVectors:
    from bge_micro.arrow import import_pyarrow

    arrow = import_pyarrow()
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except arrow.ArrowInvalid as error:
        raise VectorFileError(f"{path}: {error}") from error
    space_id = (table.schema.metadata or {})[b"space_id"].decode()
    column = table["embedding"].combine_chunks()
    if not arrow.types.is_fixed_size_list(column.type):
        raise VectorFileError(f"{path}: embedding is {column.type}, expected a fixed-size list.")
    vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
    texts = table["text"].to_pylist() if "text" in table.column_names else None
    numbers = table["index"].to_numpy() if "index" in table.column_names else None
    return SavedVectors(vectors, space_id, texts, numbers)


_READERS = {".npz": _read_npz, ".safetensors": _read_safetensors, ".parquet": _read_parquet}
