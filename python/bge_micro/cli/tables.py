"""Texts from a column of CSV, TSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

# (place, text, what is wrong with it, None for nothing), as `texts.TextInput` takes them.
FoundRow = tuple[int, str, "str | None"]

DELIMITERS = {"csv": ",", "tsv": "\t"}

# Python's limit of 131,072 characters per field is only a precaution.
_FIELD_LIMIT = 2**31 - 1

# Rows of Parquet that are decoded together.
_PARQUET_ROWS = 1024


def csv_rows(file: IO[str], name: str, delimiter: str, field: str) -> Iterator[FoundRow]:
    """Yield the rows of one column, records counted from 1 after the header.

    Args:
        file: Opened with newline="", encoding="utf-8-sig" and errors="surrogateescape".
        name: What people call the file.
        delimiter: The character between fields.
        field: The column's name in the header.

    Raises:
        ValueError: There is no such column, or a record cannot be parsed.
    """
    csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    try:
        column = _find_column(next(reader, []), name, field)
        for place, record in enumerate(filter(None, reader), 1):
            if column >= len(record):
                yield place, "", f"has {len(record)} fields, and {field!r} is number {column + 1}"
            else:
                yield place, *_checked(record[column])
    except csv.Error as error:
        raise ValueError(f"{name}: line {reader.line_num}: {error}.") from error


def _find_column(header: list[str], name: str, field: str) -> int:
    if field in header:
        return header.index(field)
    held = ", ".join(map(repr, header[:10])) or "nothing"
    raise ValueError(
        f"{name}: the header has no {field!r} (it holds {held}); name the texts' column by --field."
    )


def _checked(text: str) -> tuple[str, str | None]:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "surrogateescape")
        return raw.decode("utf-8", "replace"), f"is not UTF-8: {raw[:40]!r}"
    return text, None


def count_csv_records(file: IO[str], delimiter: str) -> int:
    """Count the records after the header, and seek to the start again."""
    csv.field_size_limit(_FIELD_LIMIT)
    count = sum(1 for record in csv.reader(file, delimiter=delimiter) if record)
    file.seek(0)
    return max(0, count - 1)


@contextmanager
def open_parquet(path: str, field: str) -> Iterator[tuple[Iterator[FoundRow], int]]:
    """Open a column of strings; give its rows and how many there are.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: The file is not Parquet, or has no such column, or that has no strings.
    """
    from bge_micro.arrow import import_pyarrow

    arrow = import_pyarrow()
    from pyarrow import parquet

    with open(path, "rb") as file:
        try:
            # Pages are read as they are needed: a row group may be larger than memory.
            table = parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        except arrow.ArrowInvalid as error:
            raise ValueError(f"{path}: {error}") from error
        names = table.schema_arrow.names
        _find_column(names, path, field)
        yield _parquet_rows(table, path, field), table.metadata.num_rows


def _parquet_rows(table: Any, path: str, field: str) -> Iterator[FoundRow]:
    from bge_micro.columns import as_column

    place = 0
    for batch in table.iter_batches(_PARQUET_ROWS, columns=[field], use_threads=False):
        try:
            column = as_column(batch.column(0))
        except TypeError as error:
            raise ValueError(f"{path}: column {field!r}: {error}") from error
        for text in column or ():
            place += 1
            yield place, text or "", None if text is not None else "holds no text (null)"
