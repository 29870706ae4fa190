"""Write vectors in each format.

Rows are appended to a partial file, so that an interrupted run can be continued. At the end the
partial file either becomes the file, after the number of rows is written into its header, or the
file is assembled from it.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.json_text import json_line
from bge_micro.vector_files.kept import KeptColumns, RowNumbers, jsonable


@dataclass(frozen=True)
class Layout:
    """The kind of a file's vectors.

    Attributes:
        dtype: Of an element.
        columns: Elements of a vector.
        space_id: Of the vectors' space.
        with_text: Whether texts are written too, where the format can.
        with_rows: Whether rows may be missing, so that npz and safetensors get the rows' numbers.
        keep: Whether values are carried along, where the format can.
        kept_types: The Arrow types of such values, by name, if they are known.
    """

    dtype: np.dtype[Any]
    columns: int
    space_id: str
    with_text: bool = False
    with_rows: bool = False
    keep: bool = False
    kept_types: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """Some rows: their numbers in the input, their texts, and their vectors (rows, columns).

    Attributes:
        kept: What is carried along of each row, by name.
    """

    indices: Sequence[int]
    texts: Sequence[str]
    vectors: NDArray[Any]
    kept: Sequence[Mapping[str, Any]] = ()


class VectorFormat:
    """Raw rows, which most formats append.

    Attributes:
        assembled: Whether `assemble` makes the file, or the partial file becomes it.
        own_names: What the file calls its own arrays, columns or keys.
        numbers: The numbers of the rows so far.
    """

    assembled = False
    own_names: tuple[str, ...] = ()

    def __init__(self, layout: Layout) -> None:
        """Take what the vectors are."""
        self.layout = layout
        self.numbers = RowNumbers()

    def remember(self, block: Block) -> None:
        """Note what the end of the file needs of a block that is in it or comes next.

        Also for the blocks of an interrupted run, which have no vectors here.
        """
        self.numbers.extend(block.indices)

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
    """The arrays "embeddings", "space_id", "rows" and those carried along.

    An archive takes only complete members.
    """

    assembled = True
    own_names = ("embeddings", "space_id", "rows")

    def __init__(self, layout: Layout) -> None:
        """Take what the vectors are."""
        super().__init__(layout)
        self._kept = KeptColumns()

    def remember(self, block: Block) -> None:
        """Note numbers and values."""
        super().remember(block)
        self._kept.extend(block.kept)

    def assemble(self, partial: IO[bytes], file: IO[bytes]) -> None:
        """Write the archive. Its members have no dates, so that equal vectors make equal files."""
        arrays = {"space_id": np.array(self.layout.space_id)}
        if self.layout.with_rows:
            arrays["rows"] = self.numbers.as_array()
        arrays |= self._kept.arrays()
        with zipfile.ZipFile(file, "w") as archive:
            with _member(archive, "embeddings") as to:
                shutil.copyfileobj(partial, to, 1 << 20)
            for name, array in arrays.items():
                with _member(archive, name) as to:
                    np.lib.format.write_array(to, array, allow_pickle=False)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    return archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)


class Safetensors(_WithHeader):
    """The tensors "embeddings" and "rows", with "space_id" in the metadata."""

    # The format pads headers with blanks, so one of fixed length can be corrected in place. 8 bytes
    # of length and this make the data 64-byte aligned.
    _HEADER_BYTES = 1016
    _DTYPES = {"float32": "F32", "int8": "I8", "uint8": "U8"}  # noqa: RUF012

    def finish(self, file: IO[bytes], count: int) -> None:
        """Write the rows' numbers, and the header again."""
        if self.layout.with_rows:
            file.write(b"\0" * self._padding(count))
            file.write(self.numbers.as_array().astype("<i8").data)
        super().finish(file, count)

    def _write_header(self, file: IO[bytes], count: int) -> None:
        layout = self.layout
        size = self._bytes(count)
        tensors: dict[str, Any] = {
            "embeddings": {
                "dtype": self._DTYPES[layout.dtype.name],
                "shape": [count, layout.columns],
                "data_offsets": [0, size],
            }
        }
        if layout.with_rows:
            end = size + self._padding(count)
            if end > size:
                shape, offsets = [end - size], [size, end]
                tensors["padding"] = {"dtype": "U8", "shape": shape, "data_offsets": offsets}
            offsets = [end, end + 8 * count]
            tensors["rows"] = {"dtype": "I64", "shape": [count], "data_offsets": offsets}
        header = {"__metadata__": {"space_id": layout.space_id}, **tensors}
        text = json.dumps(header).encode("ascii").ljust(self._HEADER_BYTES)
        file.write(len(text).to_bytes(8, "little") + text)

    def _bytes(self, count: int) -> int:
        return count * self.layout.columns * self.layout.dtype.itemsize

    def _padding(self, count: int) -> int:
        """Return the bytes between vectors and numbers, whose place torch wants to divide by 8."""
        return -self._bytes(count) % 8


class Jsonl(VectorFormat):
    """One JSON object per row: its index, what is carried along, its text if wanted, its vector."""

    own_names = ("index", "text", "embedding")

    def append(self, file: IO[bytes], block: Block) -> None:
        """Write rows and flush, so that the reader of a pipe gets them at once."""
        # Nine digits restore every float32 exactly, and take a third of json's time. With an
        # exponent every reader reads a float, also for whole numbers and -0.
        number = "%.8e" if block.vectors.dtype.kind == "f" else "%d"
        pattern = ", ".join([number] * block.vectors.shape[1])
        kept = block.kept if self.layout.keep else [{}] * len(block.indices)
        rows = zip(block.indices, block.texts, kept, block.vectors.tolist(), strict=True)
        for index, text, values, vector in rows:
            said = {"index": index, **values}
            if self.layout.with_text:
                said["text"] = text
            start = json_line(jsonable(said)).removesuffix("}")
            line = f'{start}, "embedding": [{pattern % tuple(vector)}]}}\n'
            file.write(line.encode("utf-8"))
        file.flush()
