"""An index on the disk: its format, its reader, its writer."""

from __future__ import annotations

from bge_micro.search.saved.facts import INDEX_FILE, UNFINISHED_FILE, Facts, SavedIndexError
from bge_micro.search.saved.reader import SavedIndex, open_index
from bge_micro.search.saved.writer import (
    IndexChangedError,
    IndexWriter,
    append_index,
    new_index,
)

__all__ = [
    "INDEX_FILE",
    "UNFINISHED_FILE",
    "Facts",
    "IndexChangedError",
    "IndexWriter",
    "SavedIndex",
    "SavedIndexError",
    "append_index",
    "new_index",
    "open_index",
]
