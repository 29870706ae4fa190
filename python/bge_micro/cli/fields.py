"""Which keys or columns of an input are read, and what a row of it gives."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class FoundRow(NamedTuple):
    """A row as it was found.

    Attributes:
        place: The number of its line, record or argument, from 1.
        text: The text; the empty one if there is none.
        fault: What is wrong with the row; None for nothing.
        kept: The values that are carried along, by name.
    """

    place: int
    text: str
    fault: str | None = None
    kept: dict[str, Any] | None = None


@dataclass(frozen=True)
class Fields:
    """The keys or columns that are read.

    Attributes:
        text: Of the texts.
        keep: Of the values that are carried along.
        keep_all: Whether all but the texts' one are carried along.
    """

    text: str
    keep: tuple[str, ...] = ()
    keep_all: bool = False

    def named(self, found: Iterable[str]) -> list[str]:
        """Return the names to carry along, of the names of a header."""
        if not self.keep_all:
            return [*self.keep]
        return list(dict.fromkeys([*(name for name in found if name != self.text), *self.keep]))


def parse_names(given: str) -> tuple[tuple[str, ...], bool]:
    """Return the names in a list like `id,title`, and whether it is `all`.

    A name with a comma in it is put in quotation marks, as in CSV.
    """
    if given == "all":
        return (), True
    names = next(csv.reader([given], skipinitialspace=True), [])
    return tuple(dict.fromkeys(names)), False


def no_such_name(name: str, found: Sequence[str]) -> str:
    """Return the part of a message that says that a row or header has no such name."""
    held = ", ".join(map(repr, found[:10])) or "nothing"
    return f"has no {name!r} (it holds {held})"
