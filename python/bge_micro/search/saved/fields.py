"""Read index.json without trust: each field is checked when it is taken."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bge_micro.checkpoint import CheckpointError
from bge_micro.checkpoint.json_file import json_type, parse_json
from bge_micro.choices import PRECISIONS
from bge_micro.search.saved.facts import (
    ALWAYS,
    DATA_FILE,
    FORMAT,
    INDEX_FILE,
    KINDS,
    DataFile,
    Facts,
    SavedIndexError,
    damaged,
)

# It has about 800 bytes. The bound only keeps a wrong file from being read whole.
_MOST_BYTES = 1 << 20

# It has about 200 characters. None of them moves a terminal's cursor.
_SPACE_ID = re.compile(r"[ -~]{1,1000}")

# The data files that each format names.
_KINDS_OF = {1: (), 2: ALWAYS, FORMAT: KINDS}
_FORMAT_1_FILES = {"vectors": DataFile("vectors.npy", None), "texts": DataFile("texts.jsonl", None)}


def read_facts(folder: Path, name: str = INDEX_FILE) -> Facts:
    """Read a folder's index.json, or unfinished.json.

    Raises:
        FileNotFoundError: There is none.
        SavedIndexError: It is damaged, or of another version's format.
    """
    path = folder / name
    if path.exists() and not path.is_file():  # a pipe would wait for a writer
        raise damaged(path, "is a folder, pipe or device, expected a file")
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise damaged(path, f"has more than {_MOST_BYTES} bytes, expected about 800")
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
        if version not in _KINDS_OF:
            raise SavedIndexError(
                f"{self._path}: format is {_shown(version)}, expected 1 to {FORMAT}; upgrade "
                "bge-micro, or make the index anew."
            )
        kinds = _KINDS_OF[version]
        more = ("prompt",) if version == FORMAT else ()
        self._only("format", "space_id", "options", *more, "rows", *kinds)
        space_id = self._take("space_id", str, "a string")
        if not _SPACE_ID.fullmatch(space_id):
            raise self._wrong("space_id", space_id, "1 to 1000 printable ASCII characters")
        options, rows = self._object("options")._options(), self._count("rows")
        prompt = None
        if version == FORMAT and not self._is_null("prompt"):
            prompt = self._take("prompt", str, "a string or null")
        files = {
            kind: self._object(kind)._data_file(kind)
            for kind in kinds
            if kind in ALWAYS or not self._is_null(kind)
        }
        return Facts(space_id, options, prompt, rows, files or dict(_FORMAT_1_FILES))

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
        if not DATA_FILE.fullmatch(name) or not name.startswith(f"{kind}-"):
            raise self._wrong("file", name, f"{kind}-, 16 hexadecimal digits and the ending")
        return DataFile(name, self._count("bytes"))

    def _is_null(self, name: str) -> bool:
        return self._fields.get(name, name) is None

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
