"""Records of CSV and TSV, where a quote that does not fit spoils its own record only."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

# Python's limit of 131,072 characters per field is only a precaution.
_FIELD_LIMIT = 2**31 - 1

# A record that is not complete after so many characters has a quote that nothing closes.
_MOST_CHARACTERS = 1 << 26


@dataclass
class Record:
    """A record: the number of its first line, its fields, and what is wrong with it, or None."""

    line: int
    fields: list[str] = field(default_factory=list)
    fault: str | None = None


def records(file: IO[str], delimiter: str) -> Iterator[Record]:
    """Yield the records, without empty ones; the first is the header.

    A quotation mark that opens a field and is not closed would make the rest of the file one field.
    So a record that cannot be parsed, or that has several lines and another number of fields than
    the header, is bad in its first line only: reading goes on with the line after that.

    Args:
        file: Opened with newline="".
        delimiter: The character between fields.
    """
    csv.field_size_limit(_FIELD_LIMIT)
    lines = _Lines(file)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    columns = 0
    while True:
        lines.begin()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = str(error)
        else:
            if lines.taken == 1 or columns in (0, len(fields)):
                columns = columns or len(fields)
                if fields:
                    yield Record(lines.first, fields)
                continue
            fault = f"{lines.taken} lines with {len(fields)} fields, expected {columns}"
        lines.give_back()
        yield Record(
            lines.first,
            fault=f"(line {lines.first}) has a quotation mark that does not fit ({fault}); one "
            'inside a field is written as two, and the field in quotation marks: "say ""so"""',
        )


class _Lines:
    """The lines of a file, of which all but the first of a record can be read again.

    Attributes:
        first: The number of the record's first line, from 1.
        taken: How many lines the record has taken.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._waiting: deque[str] = deque()
        self._used: list[str] = []
        self._characters = 0
        self.first = 1

    @property
    def taken(self) -> int:
        return len(self._used)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._characters > _MOST_CHARACTERS:
            raise csv.Error(f"no end after {_MOST_CHARACTERS} characters")
        line = self._waiting.popleft() if self._waiting else next(self._file)
        self._used.append(line)
        self._characters += len(line)
        return line

    def begin(self) -> None:
        """Begin a record with the next line."""
        self.first += len(self._used)
        self._used.clear()
        self._characters = 0

    def give_back(self) -> None:
        """Have all lines but the first be read again."""
        self._waiting.extendleft(reversed(self._used[1:]))
        del self._used[1:]
