"""A folder of notes, Markdown and plain text, as an index that is kept up to date."""

from __future__ import annotations

from bge_micro.search.notes.report import NotesReport
from bge_micro.search.notes.update import update_notes

__all__ = ["NotesReport", "update_notes"]
