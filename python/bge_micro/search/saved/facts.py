"""What index.json says of the folder of a saved index.

    index.json                     what the index is, and which bytes of which files belong to it
    vectors-0123456789abcdef.npy   (rows, columns); `numpy.load` reads and maps it
    texts-0123456789abcdef.jsonl   a JSON string a row
    ids-0123456789abcdef.jsonl     a JSON string or null a row; only if a row has an id
    metadata-0123456789abcdef.jsonl  a JSON value a row; only if a row has metadata
    unfinished.json                like index.json: the rows of a run that was interrupted
    .lock                          empty; locked by who writes

index.json, format 3:

    {"format": 3, "space_id": ..., "options": of encode, "prompt": a string or null, "rows": ...,
     "vectors": {"file": ..., "bytes": ...}, "texts": ..., "ids": ..., "metadata": ...}

A save writes new files under new random names, then replaces index.json by one rename. So a reader
finds the old index or the new one at every moment, and never parts of both: no name is used twice.
If the files have been removed by the time a reader opens them, it reads index.json again.

Why not one file with all in it: NumPy maps vectors only where they are a .npy file, and a whole
index would have to be copied for every row that is added. Here rows can be appended: the bytes of a
file beyond those that index.json states do not belong to the index, until another index.json states
more. For the same reason the header of the vectors may count more rows than index.json, and never
fewer.

Format 2 had no prompt, ids and metadata. Format 1 had the fixed names vectors.npy and texts.jsonl,
and did not state their bytes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INDEX_FILE = "index.json"
UNFINISHED_FILE = "unfinished.json"
LOCK_FILE = ".lock"

FORMAT = 3

# The data files, and those that every index has.
KINDS = ("vectors", "texts", "ids", "metadata")
ALWAYS = ("vectors", "texts")

# Files that a save may remove if neither index.json nor unfinished.json names them.
DATA_FILE = re.compile(r"vectors-[0-9a-f]{16}\.npy|(?:texts|ids|metadata)-[0-9a-f]{16}\.jsonl")


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


@dataclass(frozen=True)
class Facts:
    """What index.json says, checked.

    Attributes:
        space_id: Of the vectors.
        options: Of `encode`, with which vectors were made: normalize_embeddings (floats are of unit
            length), truncate_dim, precision.
        prompt: Text that was put before each text; None if that is not known.
        rows: Of all files.
        files: The data files, by kind.
    """

    space_id: str
    options: dict[str, Any]
    prompt: str | None
    rows: int
    files: dict[str, DataFile]

    @property
    def file_names(self) -> list[str]:
        """The names of its data files."""
        return [file.name for file in self.files.values()]

    def to_json(self) -> bytes:
        """Return the content of index.json."""
        files = {
            kind: {"file": self.files[kind].name, "bytes": self.files[kind].size}
            if kind in self.files
            else None
            for kind in KINDS
        }
        fields = {
            "format": FORMAT,
            "space_id": self.space_id,
            "options": self.options,
            "prompt": self.prompt,
            "rows": self.rows,
        }
        return json.dumps(fields | files, indent=2).encode("ascii") + b"\n"
