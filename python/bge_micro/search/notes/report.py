"""What an update of an index of notes has found and done."""

from __future__ import annotations

from dataclasses import dataclass, field

from bge_micro.search.saved import IndexWriter


@dataclass
class NotesReport:
    """What an update has found and done.

    Attributes:
        added: Notes that are new.
        changed: Notes that have changed.
        removed: Notes that are gone.
        unchanged: Notes that are as they were.
        passages: Rows of the index.
        embedded: How many of them were encoded now.
        skipped: The names of files and folders that could not be read, and why.
        writer: Writes the index; knows what is kept of a run that is interrupted.
    """

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    passages: int = 0
    embedded: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    writer: IndexWriter | None = None
