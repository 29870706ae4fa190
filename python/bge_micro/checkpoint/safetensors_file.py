"""Read a safetensors file: every number in its header is checked before it is used.

Layout: 8 bytes, little endian, with the header's length; the header, a JSON object
``{"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ..}``; the data, which the
tensors cover without holes or overlaps. The safetensors package would copy each tensor; here the
arrays are views, so of a mapped embedding table only the rows that are used are read from disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.file_content import FileContent, load_content
from bge_micro.checkpoint.json_file import json_type, parse_json

# The header of a BERT with 24 layers has 50 KB.
MAX_HEADER_BYTES = 16 * 2**20

_LENGTH_BYTES = 8
_MAX_DIMENSIONS = 16

# BF16 has no NumPy type: its bits are read as integers and widened to float32.
_NUMPY_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}


class TensorInfo(NamedTuple):
    """The checked header entry of one tensor.

    Attributes:
        dtype: The format's own name, such as ``"F32"``.
        shape: The dimensions.
        begin: Offset of the first byte within the data part.
        end: Offset after the last byte.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class TensorFile(Mapping[str, NDArray[Any]]):
    """The tensors of one file by name: read-only arrays, made on access.

    Arrays are views of the file's bytes if alignment permits; BF16 tensors are widened to float32,
    which is exact.

    Attributes:
        content: The file's bytes.
        infos: The checked header, by tensor name.
        metadata: The header's free text, by key.
    """

    def __init__(
        self,
        content: FileContent,
        infos: dict[str, TensorInfo],
        metadata: dict[str, str],
        data: memoryview,
    ) -> None:
        """Take a checked header and the data part; use `open_tensors` to make one."""
        self.content = content
        self.infos = infos
        self.metadata = metadata
        self._data = data

    @property
    def path(self) -> Path:
        """The file."""
        return self.content.path

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return the tensor `name` as a read-only array."""
        info = self.infos[name]
        array = np.frombuffer(
            self._data[info.begin : info.end], dtype=_NUMPY_DTYPES[info.dtype]
        ).reshape(info.shape)
        if info.dtype == "BF16":
            array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        if not array.flags.aligned:  # the core reads floats through aligned pointers
            array = array.copy()
        array.flags.writeable = False
        return array

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in the header's order."""
        return iter(self.infos)

    def __len__(self) -> int:
        """Return the number of tensors."""
        return len(self.infos)


def open_tensors(path: str | Path, mmap: bool = False) -> TensorFile:
    """Open a safetensors file.

    Args:
        path: The file.
        mmap: Map the file instead of reading it. Pages are then read on first use and shared
            between processes; but if another process cuts the file short while it is mapped, the
            operating system ends this process with SIGBUS. Map only files that no program rewrites.

    Returns:
        The tensors by name.

    Raises:
        MissingFileError: The file is not there.
        CheckpointError: The file is not a well-formed safetensors file.
    """
    path = Path(path)
    content = load_content(path, mmap)
    header, data = _split(path, content.data)
    metadata = _check_metadata(path, header.pop("__metadata__", {}))
    return TensorFile(content, _check_header(path, header, len(data)), metadata, data)


def _split(path: Path, content: memoryview) -> tuple[dict[str, Any], memoryview]:
    if len(content) < _LENGTH_BYTES:
        raise CheckpointError(
            f"{path}: {len(content)} bytes are too few for a safetensors file; it was cut off."
        )
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    available = len(content) - _LENGTH_BYTES
    if length > min(available, MAX_HEADER_BYTES):
        raise CheckpointError(
            f"{path}: the file claims a header of {length} bytes, but {available} bytes follow "
            f"(and at most {MAX_HEADER_BYTES} are allowed); it is damaged or no safetensors file."
        )
    text = bytes(content[_LENGTH_BYTES : _LENGTH_BYTES + length])
    if not text.startswith(b"{"):
        raise CheckpointError(f"{path}: the header does not begin with '{{'; not safetensors.")
    return parse_json(text, f"{path}, header"), content[_LENGTH_BYTES + length :]


def _check_metadata(path: Path, metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise CheckpointError(f"{path}: __metadata__ must map strings to strings.")
    return metadata


def _check_header(path: Path, header: dict[str, Any], data_bytes: int) -> dict[str, TensorInfo]:
    infos = {name: _check_entry(f"{path}, tensor {name!r}", e) for name, e in header.items()}
    _check_coverage(path, infos, data_bytes)
    return infos


def _check_entry(where: str, entry: Any) -> TensorInfo:
    """Check one tensor's entry: its keys, dtype, shape and the size they imply."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        found = sorted(entry) if isinstance(entry, dict) else json_type(entry)
        raise CheckpointError(f"{where}: expected dtype, shape and data_offsets, found {found}.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _NUMPY_DTYPES:
        raise CheckpointError(
            f"{where}: dtype {dtype!r} is not supported; "
            f"expected one of {', '.join(_NUMPY_DTYPES)}."
        )
    if not _is_list_of_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        raise CheckpointError(f"{where}: shape {shape!r} is not a list of sizes.")
    if not _is_list_of_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(f"{where}: data_offsets {offsets!r} are not [begin, end].")
    begin, end = offsets
    # Python's integers do not overflow, so the product of absurd sizes is only unequal.
    needed = math.prod(shape) * np.dtype(_NUMPY_DTYPES[dtype]).itemsize
    if needed != end - begin:
        raise CheckpointError(
            f"{where}: {dtype} of shape {shape} needs {needed} bytes, "
            f"but data_offsets {offsets} span {end - begin}."
        )
    return TensorInfo(dtype, tuple(shape), begin, end)


def _is_list_of_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _check_coverage(path: Path, infos: dict[str, TensorInfo], data_bytes: int) -> None:
    """Check that the tensors cover the data part once and completely."""
    position = 0
    for name, info in sorted(infos.items(), key=lambda item: (item[1].begin, item[1].end)):
        if info.begin != position:
            fault = "overlaps the tensor before it" if info.begin < position else "leaves a gap"
            raise CheckpointError(
                f"{path}, tensor {name!r}: begins at offset {info.begin}, expected {position}; "
                f"it {fault}, so the file is damaged."
            )
        if info.end > data_bytes:
            raise CheckpointError(
                f"{path}, tensor {name!r}: ends at offset {info.end}, but the file holds "
                f"{data_bytes} bytes of data; it was cut off. Fetch the file again."
            )
        position = info.end
    if position != data_bytes:
        raise CheckpointError(
            f"{path}: the tensors cover {position} bytes, but the file holds {data_bytes} bytes "
            "of data; it is damaged."
        )
