"""Vectors out: as npy, npz or JSONL, block by block, in bounded memory."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.cli.texts import Row

# Writes the next rows and their vectors, (rows, columns).
Write = Callable[[Sequence[Row], NDArray[Any]], None]


def jsonl_writer(file: IO[bytes], with_text: bool) -> Write:
    """Return a function that writes a JSON object a row: its index, perhaps its text, its vector.

    Args:
        file: A file; flushed after each block, so that who reads a pipe need not wait for more.
        with_text: Whether to write the texts too.
    """

    def write(rows: Sequence[Row], vectors: NDArray[Any]) -> None:
        # Nine digits give back every float32 bit by bit, in a third of json's time. With an
        # exponent they are a float to every reader, also where they say a whole number or -0.
        pattern = ", ".join(["%.8e" if vectors.dtype.kind == "f" else "%d"] * vectors.shape[1])
        for row, values in zip(rows, vectors.tolist(), strict=True):
            text = f'"text": {json.dumps(row.text)}, ' if with_text else ""
            line = f'{{"index": {row.index}, {text}"embedding": [{pattern % tuple(values)}]}}\n'
            file.write(line.encode("ascii"))
        file.flush()

    return write


@contextmanager
def npy_writer(file: IO[bytes], dtype: np.dtype[Any], columns: int) -> Iterator[Write]:
    """Give a function that appends to one array, (rows, columns), as NumPy's load reads it.

    Args:
        file: An empty file that can seek.
        dtype: Of the vectors.
        columns: Elements of a vector.
    """
    count = 0

    def write(rows: Sequence[Row], vectors: NDArray[Any]) -> None:
        nonlocal count
        count += len(vectors)
        file.write(vectors.data)

    def write_header() -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": (count, columns),
        }
        # NumPy pads it to the same 128 bytes whatever the count.
        np.lib.format.write_array_header_1_0(file, header)

    write_header()
    yield write
    file.seek(0)
    write_header()


@contextmanager
def npz_writer(
    file: IO[bytes], dtype: np.dtype[Any], columns: int, space_id: str
) -> Iterator[Write]:
    """Give a function that appends to the array "embeddings" of an archive.

    Args:
        file: An empty file with a name.
        dtype: Of the vectors.
        columns: Elements of a vector.
        space_id: What the archive holds under this name too.
    """
    # The header of an archive's member cannot be corrected, so the array waits beside it until the
    # count is known.
    with tempfile.TemporaryFile(dir=Path(file.name).parent) as array_file:
        with npy_writer(array_file, dtype, columns) as write:
            yield write
        array_file.seek(0)
        with zipfile.ZipFile(file, "w") as archive:
            with archive.open("embeddings.npy", "w", force_zip64=True) as member:
                shutil.copyfileobj(array_file, member, 1 << 20)
            with archive.open("space_id.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.array(space_id))
