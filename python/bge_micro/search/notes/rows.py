"""From notes to the rows of an index: a section a row, a long one several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from bge_micro.search.notes.files import MARKDOWN
from bge_micro.search.notes.passages import Splitter, Titled
from bge_micro.search.notes.reading import front_matter_end
from bge_micro.search.notes.sections import Section, markdown_sections


class NoteRow(NamedTuple):
    """A row of the index.

    Attributes:
        id: The note's path, # and the heading; a number more where that is taken.
        text: The title, a line break and the passage.
        metadata: "path" of the note, "line" and "end_line" from 1, "heading" with those above it,
            "passage" (how many characters of the text come before it), and the note's "hash".
    """

    id: str
    text: str
    metadata: dict[str, Any]


def rows_of_notes(notes: Sequence[tuple[str, str, str]], splitter: Splitter) -> list[NoteRow]:
    """Return the rows of notes, which are given as path, text and hash.

    Raises:
        ImportError: There is Markdown, and markdown-it-py is not installed.
    """
    found = [(name, digest, _sections(name, text)) for name, text, digest in notes]
    passages = iter(
        splitter.split(
            [
                Titled(_title(name, section), section.text)
                for name, _, sections in found
                for section in sections
            ]
        )
    )
    rows: list[NoteRow] = []
    for name, digest, sections in found:
        taken: set[str] = set()
        for section in sections:
            heading = " > ".join(section.headings)
            for number, passage in enumerate(next(passages)):
                part = section.text[passage.begin : passage.end]
                first = section.text_line + section.text.count("\n", 0, passage.begin)
                begins_at_heading = number == 0 and bool(section.headings)
                metadata = {
                    "path": name,
                    "line": section.line if begins_at_heading else first,
                    "end_line": first + part.count("\n") if part else section.line,
                    "heading": heading,
                    "passage": len(passage.title) + 1,
                    "hash": digest,
                }
                name_of_row = _id(name, section, taken)
                rows.append(NoteRow(name_of_row, f"{passage.title}\n{part}", metadata))
    return rows


def _sections(name: str, text: str) -> list[Section]:
    begin = front_matter_end(text) if name.lower().endswith(MARKDOWN) else 0
    first_line = 1 + text.count("\n", 0, begin)
    if name.lower().endswith(MARKDOWN):
        return markdown_sections(text[begin:], first_line)
    return [Section((), first_line, first_line, text)] if text.strip() else []


def _title(name: str, section: Section) -> str:
    """Return the path of headings, under the note's own name."""
    own = PurePosixPath(name).stem
    headings = section.headings[1:] if section.headings[:1] == (own,) else section.headings
    return " > ".join((own, *headings))


def _id(name: str, section: Section, taken: set[str]) -> str:
    """Return an id that no other row has: within a note by a number, between notes by the path."""
    path = name.replace("#", "%23")
    plain = f"{path}#{section.headings[-1]}" if section.headings else path
    found, number = plain, 1
    while found in taken:
        number += 1
        found = f"{plain} ({number})"
    taken.add(found)
    return found
