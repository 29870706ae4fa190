"""An index on the disk: its format, its reader, its writer."""

from __future__ import annotations

from bge_micro.search.saved.facts import INDEX_FILE, SavedIndexError
from bge_micro.search.saved.reader import SavedIndex, open_index
from bge_micro.search.saved.writer import IndexWriter, new_index

__all__ = [
    "INDEX_FILE",
    "IndexWriter",
    "SavedIndex",
    "SavedIndexError",
    "new_index",
    "open_index",
]
