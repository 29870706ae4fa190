"""Texts in: from arguments, standard input or a file, in any format; row by row."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from bge_micro.cli.fields import Fields, FoundRow, parse_names
from bge_micro.cli.lines import count_lines, json_rows, text_rows
from bge_micro.cli.messages import warn
from bge_micro.cli.parser import UsageError
from bge_micro.cli.tables import DELIMITERS, count_csv_records, csv_rows, open_parquet

_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}

# A block ends after this many characters, even with few texts, to bound memory.
_MOST_CHARACTERS = 1 << 23


@dataclass(frozen=True)
class Row:
    """A text to encode.

    Attributes:
        index: Its number among the rows of the input, from 0; skipped rows count.
        place: The number of its line, record or argument, from 1.
        text: The text.
        kept: The values that are carried along, by name.
    """

    index: int
    place: int
    text: str
    kept: dict[str, Any] = field(default_factory=dict)


class TextInput:
    """Rows of one input, to be read once.

    Attributes:
        name: What people call the input.
        unit: What a place counts: "line", "row" or "argument".
        total: The number of rows; 0 if it is unknown before the end.
        bad: How many rows were replaced or skipped so far.
        kept_types: The Arrow types of values that are carried along, where the input has types.
    """

    def __init__(
        self,
        rows: Iterable[FoundRow],
        name: str,
        unit: str,
        errors: str,
        *,
        skip_blank: bool = False,
    ) -> None:
        """Take the rows as they were found."""
        self._rows = rows
        self.name = name
        self.unit = unit
        self.total = 0
        self.bad = 0
        self.kept_types: dict[str, Any] = {}
        self._errors = errors
        self._skip_blank = skip_blank

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows; ValueError for the first bad one, unless bad ones are tolerated."""
        for index, (place, text, fault, kept) in enumerate(self._rows):
            if fault is not None:
                if self._errors == "strict":
                    raise ValueError(
                        f"{self.name}: {self.unit} {place} {fault} "
                        "(--errors replace or skip goes on after bad rows)."
                    )
                self.bad += 1
                if self._errors == "skip":
                    continue
            if self._skip_blank and not text.strip():
                continue
            yield Row(index, place, text, kept or {})

    def blocks(self, most_texts: int) -> Iterator[list[Row]]:
        """Yield the rows in blocks of so many, of fewer where texts are huge."""
        block: list[Row] = []
        characters = 0
        for row in self:
            block.append(row)
            characters += len(row.text)
            if len(block) == most_texts or characters >= _MOST_CHARACTERS:
                yield block
                block, characters = [], 0
        if block:
            yield block


@contextmanager
def open_texts(arguments: argparse.Namespace) -> Iterator[TextInput]:
    """Open what the options of `parser.add_text_options` name.

    Raises:
        UsageError: They name nothing, or more than one thing.
        OSError: The file cannot be opened.
    """
    texts, path = arguments.texts, arguments.input
    if texts and path is not None:
        raise UsageError("give texts as arguments or by -i, not both")
    if "-" in texts and len(texts) > 1:
        raise UsageError("- means standard input, and no other text can be given with it")
    if not texts and path is None:
        raise UsageError("no texts: give TEXT arguments, -i FILE, or - for standard input")
    if path is None and texts != ["-"]:
        _fields("text", arguments)
        if arguments.input_format not in ("auto", "text"):
            raise UsageError("--input-format describes a file, and the texts are arguments")
        _tell_of_files(texts)
        given = _input_of(_argument_rows(texts), "command line", "argument", arguments)
        given.total = len(texts)
        yield given
    else:
        with open_text_file(path or "-", arguments) as rows:
            yield rows


def _tell_of_files(texts: list[str]) -> None:
    """Say on a terminal that a text is not read as a file, though there is one of that name."""
    if not sys.stderr.isatty():
        return
    for text in texts:
        with suppress(OSError, ValueError):  # too long for a name, or a NUL in it
            if os.path.isfile(text):
                warn(f"{text} is encoded as a text; -i {shlex.quote(text)} reads the file.")


def _input_of(
    rows: Iterable[FoundRow], name: str, unit: str, arguments: argparse.Namespace
) -> TextInput:
    return TextInput(rows, name, unit, arguments.errors, skip_blank=arguments.skip_blank)


@contextmanager
def open_text_file(path: str, arguments: argparse.Namespace) -> Iterator[TextInput]:
    """Open a file of texts, - for standard input, as the options of `add_text_options` describe it.

    Raises:
        UsageError: Its name does not give its format, or this format has no fields.
        OSError: It cannot be opened.
        ValueError: It has no such column.
    """
    if path == "-":
        yield _open_standard_input(arguments)
        return
    kind = input_format(path, arguments.input_format)
    fields = _fields(kind, arguments)
    # Counting needs a pass over the file, which is useful only for a visible progress bar.
    shown = sys.stderr.isatty()
    if kind == "parquet":
        with open_parquet(path, fields) as found:
            table = _input_of(found.rows, path, "row", arguments)
            table.total, table.kept_types = found.total, found.types
            yield table
    elif kind in DELIMITERS:
        delimiter = DELIMITERS[kind]
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as text_file:
            total = count_csv_records(text_file, delimiter) if shown else 0
            table = _input_of(csv_rows(text_file, path, delimiter, fields), path, "row", arguments)
            table.total = total
            yield table
    else:
        with open(path, "rb") as file:
            lines = _input_of(_line_rows(file, kind, fields), path, "line", arguments)
            lines.total = count_lines(file) if shown and file.seekable() else 0
            yield lines


def _open_standard_input(arguments: argparse.Namespace) -> TextInput:
    kind, name = input_format("-", arguments.input_format), "standard input"
    fields = _fields(kind, arguments)
    if kind == "parquet":
        raise UsageError("Parquet is read from a file only: give -i FILE")
    if kind in DELIMITERS:
        text = io.TextIOWrapper(
            sys.stdin.buffer, encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        records = csv_rows(text, name, DELIMITERS[kind], fields)
        return _input_of(records, name, "row", arguments)
    return _input_of(_line_rows(sys.stdin.buffer, kind, fields), name, "line", arguments)


def _line_rows(file: IO[bytes], kind: str, fields: Fields) -> Iterator[FoundRow]:
    return json_rows(file, fields) if kind == "jsonl" else text_rows(file)


def _fields(kind: str, arguments: argparse.Namespace) -> Fields:
    """Return the keys or columns to read; UsageError if some are named where there are none."""
    keep: tuple[str, ...] = ()
    keep_all = False
    for option in ("keep", "ids", "metadata"):  # those that name what is carried along
        if (given := getattr(arguments, option, None)) is not None:
            names, is_all = ((given,), False) if option == "ids" else parse_names(given)
            keep, keep_all = (*keep, *names), keep_all or is_all
            if kind == "text":
                raise _no_columns(option, given)
    if kind == "text" and arguments.field is not None:
        raise _no_columns("field", arguments.field)
    return Fields(arguments.field or "text", tuple(dict.fromkeys(keep)), keep_all)


def _no_columns(option: str, given: str) -> UsageError:
    return UsageError(
        f"--{option} {given} names a key or column, and these are plain texts: give "
        "--input-format jsonl, csv, tsv or parquet"
    )


def read_calibration_texts(path: str) -> list[str]:
    """Read a file of texts, one a line, or JSON lines with strings or the field "text".

    Raises:
        OSError: The file cannot be read.
        ValueError: A line is bad, or there is none.
    """
    with open(path, "rb") as file:
        rows = _line_rows(file, input_format(path, "auto"), Fields("text"))
        texts = [row.text for row in TextInput(rows, path, "line", "strict") if row.text.strip()]
    if not texts:
        raise ValueError(f"{path}: holds no texts; calibration needs some hundreds.")
    return texts


def input_format(path: str, wanted: str) -> str:
    """Return the format of a file of texts: the wanted one, or for "auto" what its ending says."""
    if wanted != "auto":
        return wanted
    ending = Path(path).suffix.lower()
    if ending == ".json":
        raise UsageError(
            f"{path} may be one JSON value, which is not read; if it is a JSON value a line, say "
            "--input-format jsonl"
        )
    return _FORMATS.get(ending, "text")


def _argument_rows(texts: Iterable[str]) -> Iterator[FoundRow]:
    for place, text in enumerate(texts, 1):
        fault = None
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:  # bytes the system could not decode come as lone surrogates
            fault = f"holds bytes that are no text: {text[:40]!a}"
        yield FoundRow(place, text, fault)
