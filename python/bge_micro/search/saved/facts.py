"""The folder of a saved index, and its index.json, read without trust.

    index.json                    what the index is, and which bytes of which files belong to it
    vectors-0123456789abcdef.npy  (rows, columns); `numpy.load` reads and maps it
    texts-0123456789abcdef.jsonl  a JSON string a row
    .lock                         empty; locked by who writes

index.json, format 2:

    {"format": 2, "space_id": ..., "options": of encode, "rows": ...,
     "vectors": {"file": ..., "bytes": ...}, "texts": {"file": ..., "bytes": ...}}

A save writes new files under new random names, then replaces index.json by one rename. So a reader
finds the old index or the new one at every moment, and never parts of both: no name is used twice.
If the files have been removed by the time a reader opens them, it reads index.json again.

Why not one file with all in it: NumPy maps vectors only where they are a .npy file, and a whole
index would have to be copied for every row that is added. Here rows can be appended: the bytes of a
file beyond those that index.json states do not belong to the index, until another index.json states
more. For the same reason the header of the vectors may count more rows than index.json, and never
fewer.

Format 1 had the fixed names vectors.npy and texts.jsonl, and did not state their bytes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bge_micro.checkpoint import CheckpointError
from bge_micro.checkpoint.json_file import json_type, parse_json
from bge_micro.choices import PRECISIONS

INDEX_FILE = "index.json"
LOCK_FILE = ".lock"

# Files that a save may remove if index.json does not name them.
DATA_FILE = re.compile(r"vectors-[0-9a-f]{16}\.npy|texts-[0-9a-f]{16}\.jsonl")

_FORMAT = 2

# It has about 600 bytes. The bound only keeps a wrong file from being read whole.
_MOST_BYTES = 1 << 20

# It has about 200 characters. None of them moves a terminal's cursor.
_SPACE_ID = re.compile(r"[ -~]{1,1000}")


class SavedIndexError(ValueError):
    """A saved index cannot be used; the message names the file, what is wrong and what to do."""


def damaged(path: Path, what: str) -> SavedIndexError:
    """Return the error for a file with something wrong in it."""
    return SavedIndexError(
        f"{path}: {what}; the index is damaged: restore the folder from a copy, or make it anew."
    )


@dataclass(frozen=True)
class DataFile:
    """A file of the index: its name, and how many of its bytes belong to the index.

    Format 1 does not state the bytes, which is None here: all of them.
    """

    name: str
    size: int | None


_FORMAT_1_FILES = DataFile("vectors.npy", None), DataFile("texts.jsonl", None)


@dataclass(frozen=True)
class Facts:
    """What index.json says, checked.

    Attributes:
        space_id: Of the vectors.
        options: Of `encode`, with which vectors were made: normalize_embeddings (floats are of unit
            length), truncate_dim, precision.
        rows: Of vectors and texts.
        vectors: Their file.
        texts: Their file.
    """

    space_id: str
    options: dict[str, Any]
    rows: int
    vectors: DataFile
    texts: DataFile

    @property
    def file_names(self) -> tuple[str, str]:
        """The names of its other files."""
        return self.vectors.name, self.texts.name

    def to_json(self) -> bytes:
        """Return the content of index.json."""
        fields = {
            "format": _FORMAT,
            "space_id": self.space_id,
            "options": self.options,
            "rows": self.rows,
            "vectors": {"file": self.vectors.name, "bytes": self.vectors.size},
            "texts": {"file": self.texts.name, "bytes": self.texts.size},
        }
        return json.dumps(fields, indent=2).encode("ascii") + b"\n"


def read_facts(folder: Path) -> Facts:
    """Read a folder's index.json.

    Raises:
        FileNotFoundError: There is none.
        SavedIndexError: It is damaged, or of another version's format.
    """
    path = folder / INDEX_FILE
    if path.exists() and not path.is_file():  # a pipe would wait for a writer
        raise damaged(path, "is a folder, pipe or device, expected a file")
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise damaged(path, f"has more than {_MOST_BYTES} bytes, expected about 600")
    try:
        fields = parse_json(data, str(path))
    except CheckpointError as error:
        raise SavedIndexError(f"{error} Restore the folder from a copy, or make it anew.") from None
    return _Fields(path, fields, "the whole").facts()


class _Fields:
    """The fields of an object in index.json, each checked when it is taken."""

    def __init__(self, path: Path, fields: Any, name: str) -> None:
        self._path = path
        if not isinstance(fields, dict):
            raise damaged(path, f"{name} is {json_type(fields)}, expected an object")
        self._fields = fields

    def facts(self) -> Facts:
        version = self._take("format", int, "a number")
        if version not in (1, _FORMAT):
            raise SavedIndexError(
                f"{self._path}: format is {_shown(version)}, expected 1 or {_FORMAT}; upgrade "
                "bge-micro, or make the index anew."
            )
        files = () if version == 1 else ("vectors", "texts")
        self._only("format", "space_id", "options", "rows", *files)
        space_id = self._take("space_id", str, "a string")
        if not _SPACE_ID.fullmatch(space_id):
            raise self._wrong("space_id", space_id, "1 to 1000 printable ASCII characters")
        options, rows = self._object("options")._options(), self._count("rows")
        if version == 1:
            return Facts(space_id, options, rows, *_FORMAT_1_FILES)
        vectors, texts = (self._object(name)._data_file(name) for name in ("vectors", "texts"))
        return Facts(space_id, options, rows, vectors, texts)

    def _options(self) -> dict[str, Any]:
        self._only("normalize_embeddings", "truncate_dim", "precision")
        precision = self._take("precision", str, "a string")
        if precision not in PRECISIONS:
            raise self._wrong("precision", precision, f"one of {', '.join(PRECISIONS)}")
        is_float = precision == "float32"
        if self._take("normalize_embeddings", bool, "true or false") != is_float:
            raise self._wrong("normalize_embeddings", not is_float, f"{is_float} for {precision}")
        if self._fields.get("truncate_dim", 0) is not None and not self._count("truncate_dim"):
            raise self._wrong("truncate_dim", 0, "null or a positive number")
        return self._fields

    def _data_file(self, kind: str) -> DataFile:
        self._only("file", "bytes")
        name = self._take("file", str, "a string")
        if not DATA_FILE.fullmatch(name) or not name.startswith(kind):
            raise self._wrong("file", name, f"{kind}-, 16 hexadecimal digits and the ending")
        return DataFile(name, self._count("bytes"))

    def _object(self, name: str) -> _Fields:
        return _Fields(self._path, self._take(name, dict, "an object"), name)

    def _count(self, name: str) -> int:
        value: int = self._take(name, int, "a number")
        if value < 0:
            raise self._wrong(name, value, "no negative number")
        return value

    def _take(self, name: str, kind: type, expected: str) -> Any:
        if name not in self._fields:
            raise damaged(self._path, f"{name} is missing, expected {expected}")
        if type(self._fields[name]) is not kind:
            raise self._wrong(name, self._fields[name], expected)
        return self._fields[name]

    def _only(self, *names: str) -> None:
        for name in self._fields.keys() - set(names):
            raise SavedIndexError(
                f"{self._path}: has the field {_shown(name)}, which this version does not know, "
                f"expected {', '.join(names)}; upgrade bge-micro, or make the index anew."
            )

    def _wrong(self, name: str, found: Any, expected: str) -> SavedIndexError:
        return damaged(self._path, f"{name} is {_shown(found)}, expected {expected}")


def _shown(value: Any) -> str:
    """Return a value for a message: short, and without what a terminal would obey."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
