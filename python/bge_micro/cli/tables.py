"""Texts from a column of CSV, TSV or Parquet, with other columns that are carried along."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from bge_micro.cli.csv_records import Record, records
from bge_micro.cli.fields import Fields, FoundRow, no_such_name

DELIMITERS = {"csv": ",", "tsv": "\t"}

# Rows of Parquet that are decoded together.
_PARQUET_ROWS = 1024


def csv_rows(file: IO[str], name: str, delimiter: str, fields: Fields) -> Iterator[FoundRow]:
    """Yield the rows of one column, records counted from 1 after the header.

    Args:
        file: Opened with newline="", encoding="utf-8-sig" and errors="surrogateescape".
        name: What people call the file.
        delimiter: The character between fields.
        fields: Names in the header.

    Raises:
        ValueError: There is no such column, or the header cannot be parsed.
    """
    found = records(file, delimiter)
    header = next(found, None)
    if header is not None and header.fault is not None:
        raise ValueError(f"{name}: the header {header.fault}.")
    names = header.fields if header else []
    text_column, kept_columns = _find_columns(names, name, fields)
    for place, record in enumerate(found, 1):
        yield _csv_row(place, record, names, text_column, kept_columns)


def _csv_row(
    place: int, record: Record, header: list[str], text_column: int, kept_columns: dict[str, int]
) -> FoundRow:
    values = record.fields
    faults = [record.fault] if record.fault else []

    def cell(column: int) -> str | None:
        if column < len(values):
            text, fault = _checked(values[column])
        else:
            text = None
            fault = f"has {len(values)} fields, and {header[column]!r} is number {column + 1}"
        if fault:
            faults.append(fault)
        return text

    text = cell(text_column) or ""
    kept = {name: cell(column) for name, column in kept_columns.items()}
    return FoundRow(place, text, faults[0] if faults else None, kept)


def _find_columns(header: Sequence[str], name: str, fields: Fields) -> tuple[int, dict[str, int]]:
    """Return where the texts' column is, and where those are that are carried along."""
    kept = fields.named(header)
    for wanted, option in ((fields.text, "field"), *((each, "keep") for each in kept)):
        if wanted not in header:
            what = "the texts' column" if option == "field" else "columns"
            raise ValueError(
                f"{name}: the header {no_such_name(wanted, header)}; name {what} by --{option}."
            )
    return header.index(fields.text), {each: header.index(each) for each in kept}


def _checked(text: str) -> tuple[str | None, str | None]:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "surrogateescape")
        return raw.decode("utf-8", "replace"), f"is not UTF-8: {raw[:40]!r}"
    return text, None


def count_csv_records(file: IO[str], delimiter: str) -> int:
    """Count the records after the header, and seek to the start again."""
    count = sum(1 for _ in records(file, delimiter))
    file.seek(0)
    return max(0, count - 1)


@dataclass(frozen=True)
class ParquetTexts:
    """The rows of a table, how many there are, and the Arrow types of what is carried along."""

    rows: Iterator[FoundRow]
    total: int
    types: dict[str, Any]


@contextmanager
def open_parquet(path: str, fields: Fields) -> Iterator[ParquetTexts]:
    """Open a column of strings.

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
        schema = table.schema_arrow
        _, kept = _find_columns(schema.names, path, fields)
        types = {name: schema.field(name).type for name in kept}
        rows = _parquet_rows(table, path, fields.text, [*kept])
        yield ParquetTexts(rows, table.metadata.num_rows, types)


def _parquet_rows(table: Any, path: str, field: str, kept: list[str]) -> Iterator[FoundRow]:
    from bge_micro.columns import as_column

    place = 0
    for batch in table.iter_batches(_PARQUET_ROWS, columns=[field, *kept], use_threads=False):
        try:
            column = as_column(batch.column(field))
        except TypeError as error:
            raise ValueError(f"{path}: column {field!r}: {error}") from error
        values = [batch.column(name).to_pylist() for name in kept]
        for row, text in enumerate(column or ()):
            place += 1
            fault = None if text is not None else "holds no text (null)"
            along = {name: each[row] for name, each in zip(kept, values, strict=True)}
            yield FoundRow(place, text or "", fault, along)
