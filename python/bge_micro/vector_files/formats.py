"""Write vectors in each format.

Rows are appended to a partial file, so that an interrupted run can be continued. At the end the
partial file either becomes the file, after the number of rows is written into its header, or the
file is assembled from it.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.json_text import json_line


@dataclass(frozen=True)
class Layout:
    """The kind of a file's vectors.

    Attributes:
        dtype: Of an element.
        columns: Elements of a vector.
        space_id: Of the vectors' space.
        with_text: Whether texts are written too, where the format can.
    """

    dtype: np.dtype[Any]
    columns: int
    space_id: str
    with_text: bool = False


@dataclass(frozen=True)
class Block:
    """Some rows: their numbers in the input, their texts, and their vectors (rows, columns)."""

    indices: Sequence[int]
    texts: Sequence[str]
    vectors: NDArray[Any]


class VectorFormat:
    """Raw rows, which most formats append.

    Attributes:
        assembled: Whether `assemble` makes the file, or the partial file becomes it.
        holds_text: Whether the format can hold texts.
    """

    assembled = False
    holds_text = False

    def __init__(self, layout: Layout) -> None:
        """Take what the vectors are."""
        self.layout = layout

    def begin(self, file: IO[bytes]) -> None:
        """Write the header of an empty file that can seek."""

    def append(self, file: IO[bytes], block: Block) -> None:
        """Write rows at the file's end."""
        file.write(block.vectors.data)

    def finish(self, file: IO[bytes], count: int) -> None:
        """Write the number of rows into the header."""

    def assemble(self, partial: IO[bytes], file: IO[bytes]) -> None:
        """Make the file from a finished partial file, whose position is at its start."""
        raise NotImplementedError


class _WithHeader(VectorFormat):
    """Rows after a header of fixed length, which has their number."""

    def begin(self, file: IO[bytes]) -> None:
        """Write a header with zero rows, so that an unfinished file misleads no reader."""
        self._write_header(file, 0)

    def finish(self, file: IO[bytes], count: int) -> None:
        """Write the header again, with the number of rows."""
        file.seek(0)
        self._write_header(file, count)

    def _write_header(self, file: IO[bytes], count: int) -> None:
        raise NotImplementedError


class Npy(_WithHeader):
    """One array, as `numpy.load` reads it."""

    def _write_header(self, file: IO[bytes], count: int) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self.layout.dtype),
            "fortran_order": False,
            "shape": (count, self.layout.columns),
        }
        # NumPy pads it to the same 128 bytes whatever the count.
        np.lib.format.write_array_header_1_0(file, header)


class Npz(Npy):
    """The arrays "embeddings" and "space_id". An archive takes only complete members."""

    assembled = True

    def assemble(self, partial: IO[bytes], file: IO[bytes]) -> None:
        """Write the archive. Its members have no dates, so that equal vectors make equal files."""
        with zipfile.ZipFile(file, "w") as archive:
            for name in ("embeddings", "space_id"):
                member = zipfile.ZipInfo(f"{name}.npy")
                with archive.open(member, "w", force_zip64=True) as to:
                    if name == "embeddings":
                        shutil.copyfileobj(partial, to, 1 << 20)
                    else:
                        np.lib.format.write_array(to, np.array(self.layout.space_id))


class Safetensors(_WithHeader):
    """The tensor "embeddings", with "space_id" in the metadata."""

    # The format pads headers with blanks, so one of fixed length can be corrected in place. 8 bytes
    # of length and this make the data 64-byte aligned.
    _HEADER_BYTES = 1016
    _DTYPES = {"float32": "F32", "int8": "I8", "uint8": "U8"}  # noqa: RUF012

    def _write_header(self, file: IO[bytes], count: int) -> None:
        layout = self.layout
        size = count * layout.columns * layout.dtype.itemsize
        tensor = {
            "dtype": self._DTYPES[layout.dtype.name],
            "shape": [count, layout.columns],
            "data_offsets": [0, size],
        }
        header = {"__metadata__": {"space_id": layout.space_id}, "embeddings": tensor}
        text = json.dumps(header).encode("ascii").ljust(self._HEADER_BYTES)
        file.write(len(text).to_bytes(8, "little") + text)


class Jsonl(VectorFormat):
    """One JSON object per row: its index, its text if wanted, its vector."""

    holds_text = True

    def append(self, file: IO[bytes], block: Block) -> None:
        """Write rows and flush, so that the reader of a pipe gets them at once."""
        # Nine digits restore every float32 exactly, and take a third of json's time. With an
        # exponent every reader reads a float, also for whole numbers and -0.
        number = "%.8e" if block.vectors.dtype.kind == "f" else "%d"
        pattern = ", ".join([number] * block.vectors.shape[1])
        rows = zip(block.indices, block.texts, block.vectors.tolist(), strict=True)
        for index, text, values in rows:
            said = f'"text": {json_line(text)}, ' if self.layout.with_text else ""
            line = f'{{"index": {index}, {said}"embedding": [{pattern % tuple(values)}]}}\n'
            file.write(line.encode("utf-8"))
        file.flush()
