"""How hits of ``bge-micro search`` are shown: as a list, tab-separated values or JSON."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bge_micro.cli.similarity import ESCAPES, shown
from bge_micro.json_text import json_line

if TYPE_CHECKING:
    from bge_micro.cli.texts import Row
    from bge_micro.search import TopK
    from bge_micro.vector_files import SavedVectors

# Lines of a note's passage in a list.
_PASSAGE_LINES = 3

# What `search.notes` records of a passage, and the types.
_OF_NOTES = {"path": str, "line": int, "end_line": int, "heading": str, "passage": int}


@dataclass(frozen=True)
class Labels:
    """What is known of rows besides their vectors; None for what the corpus does not have."""

    texts: Sequence[str] | None = None
    ids: Sequence[str | None] | None = None
    metadata: Sequence[Any] | None = None

    @classmethod
    def of_vectors(cls, saved: SavedVectors) -> Labels:
        """Return what a file of vectors knows."""
        numbers = None if saved.numbers is None else [{"row": n} for n in saved.numbers.tolist()]
        return cls(saved.texts, metadata=numbers)


@dataclass(frozen=True)
class Found:
    """A row that was found."""

    row: int
    score: float
    text: str | None
    id: str | None
    metadata: Any

    @property
    def number(self) -> int:
        """The row's number in the input, see `row_numbers`."""
        return self.metadata["row"] if self._has_number else self.row

    @property
    def _has_number(self) -> bool:
        value = self.metadata
        return isinstance(value, dict) and [*value] == ["row"] and type(value["row"]) is int

    @property
    def extra(self) -> Any:
        """The metadata, unless they are the row's number."""
        return None if self._has_number else self.metadata

    @property
    def is_note(self) -> bool:
        """Whether it is a passage of a note."""
        value = self.metadata
        return isinstance(value, dict) and all(
            type(value.get(key)) is kind for key, kind in _OF_NOTES.items()
        )

    @property
    def place(self) -> str:
        """The note's path and line."""
        return f"{self.metadata['path']}:{self.metadata['line']}"

    @property
    def passage(self) -> str:
        """The note's text without its title."""
        return (self.text or "")[self.metadata["passage"] :]


def row_numbers(rows: Sequence[Row], place: int, first: int = 0) -> list[dict[str, int] | None]:
    """Return metadata for rows whose number in the input is not their place in an index.

    Args:
        rows: The rows.
        place: The place of the first of them; rows that were left out have none.
        first: The place of the first row of the input.
    """
    return [
        None if first + row.index == at else {"row": first + row.index}
        for at, row in enumerate(rows, place)
    ]


def found_rows(found: TopK, labels: Labels) -> Iterator[list[Found]]:
    """Yield what was found for each query, best first."""

    def of(values: Sequence[Any] | None, row: int) -> Any:
        return None if values is None else values[row]

    for rows, scores in zip(found.indices.tolist(), found.scores.tolist(), strict=True):
        yield [
            Found(row, score, *(of(x, row) for x in (labels.texts, labels.ids, labels.metadata)))
            for row, score in zip(rows, scores, strict=True)
        ]


Format = Callable[[Sequence[str], Iterator[list[Found]]], Iterator[str]]


def tsv(queries: Sequence[str], found: Iterator[list[Found]]) -> Iterator[str]:
    """Yield lines of query, rank, score, row, text; of notes of place, heading, passage instead."""
    for number, hits in enumerate(found, 1):
        for rank, hit in enumerate(hits, 1):
            if hit.is_note:
                said = [hit.place, hit.metadata["heading"], hit.passage]
            else:
                said = [str(hit.number), hit.text or ""]
            escaped = "\t".join(part.translate(ESCAPES) for part in said)
            yield f"{number}\t{rank}\t{hit.score:.6f}\t{escaped}"


def json_lines(queries: Sequence[str], found: Iterator[list[Found]]) -> Iterator[str]:
    """Yield an object a query."""
    for query, hits in zip(queries, found, strict=True):
        yield json_line({"query": query, "hits": [_as_json(hit) for hit in hits]})


def _as_json(hit: Found) -> dict[str, Any]:
    said: dict[str, Any] = {"row": hit.number, "score": hit.score}
    if hit.id is not None:
        said["id"] = hit.id
    if hit.is_note:
        named = {key: hit.metadata[key] for key in ("path", "line", "end_line", "heading")}
        return said | named | {"passage": hit.passage}
    if hit.extra is not None:
        said["metadata"] = hit.extra
    return said if hit.text is None else said | {"text": hit.text}


def lines_for_people(queries: Sequence[str], found: Iterator[list[Found]]) -> Iterator[str]:
    """Yield lines that fit a terminal."""
    columns = shutil.get_terminal_size().columns
    for query, hits in zip(queries, found, strict=True):
        if len(queries) > 1:
            yield f"> {shown(query, columns - 2)}"
        for hit in hits:
            if hit.is_note:
                yield from _note_lines(hit, columns)
            else:
                start = f"{hit.score:7.4f} {hit.number:8}  "
                yield start + shown(hit.text or "", columns - len(start))


def _note_lines(hit: Found, columns: int) -> Iterator[str]:
    start = f"{hit.score:7.4f}  "
    yield start + shown(f"{hit.place}  {hit.metadata['heading']}".rstrip(), columns - len(start))
    passage = " ".join(hit.passage.split())
    width = max(20, columns - len(start))
    for line in textwrap.wrap(
        shown(passage, len(passage)), width, max_lines=_PASSAGE_LINES, placeholder=" ..."
    ):
        yield " " * len(start) + line
