"""Columns of Arrow and Polars as texts: Python strings are made batch by batch, when used."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, overload

# Strings that are made together.
_BATCH_ROWS = 1024


class Column(Sequence[str]):
    """A column of strings.

    Attributes:
        missing: The numbers of the rows without a string, in order.
    """

    def __init__(self, column: Any, missing: Sequence[int]) -> None:
        """Wrap a column that can be sliced."""
        self._column = column
        self.missing = missing

    @overload
    def __getitem__(self, rows: int) -> str: ...
    @overload
    def __getitem__(self, rows: slice) -> list[str]: ...
    def __getitem__(self, rows: int | slice) -> str | list[str]:
        """Return a row's string, or those of a slice; None for a missing string."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._strings(start, max(0, stop - start))
            return [self[row] for row in range(start, stop, step)]
        row = range(len(self))[rows]
        return self._strings(row, 1)[0]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._column)

    def __iter__(self) -> Iterator[str]:
        """Yield the strings."""
        for start in range(0, len(self), _BATCH_ROWS):
            yield from self._strings(start, _BATCH_ROWS)

    def _strings(self, start: int, count: int) -> list[str]:
        raise NotImplementedError

    def filled(self) -> Column:
        """Return the column with empty strings for missing ones."""
        raise NotImplementedError

    def dropped(self) -> Column:
        """Return the column without the missing rows."""
        raise NotImplementedError


class _ArrowColumn(Column):
    def _strings(self, start: int, count: int) -> list[str]:
        strings: list[str] = self._column.slice(start, count).to_pylist()
        return strings

    def filled(self) -> Column:
        return _ArrowColumn(self._plain().fill_null(""), [])

    def dropped(self) -> Column:
        return _ArrowColumn(self._plain().drop_null(), [])

    def _plain(self) -> Any:
        """Return the column as a type that all of Arrow's functions take, unlike its views."""
        import pyarrow as pa

        return self._column.cast(pa.large_string())


class _PolarsColumn(Column):
    def _strings(self, start: int, count: int) -> list[str]:
        strings: list[str] = self._column.slice(start, count).to_list()
        return strings

    def filled(self) -> Column:
        import polars as pl

        return _PolarsColumn(self._column.cast(pl.String).fill_null(""), [])

    def dropped(self) -> Column:
        return _PolarsColumn(self._column.drop_nulls(), [])


def _decoded(column: Any) -> Any:
    """Return a dictionary column as plain strings if a value of its dictionary is null.

    Arrow counts the rows without an index as null only, not those whose value is.
    """
    import pyarrow as pa

    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    if not any(chunk.dictionary.null_count for chunk in chunks):
        return column
    return pa.chunked_array([chunk.dictionary_decode() for chunk in chunks])


def as_column(inputs: Any) -> Column | None:
    """Return an Arrow array or a Polars series as a column of strings; None for anything else.

    Neither package is imported here: a caller with such an object has imported it.

    Raises:
        TypeError: The column contains something other than strings.
    """
    arrow, polars = sys.modules.get("pyarrow"), sys.modules.get("polars")
    if arrow is not None and isinstance(inputs, (arrow.Array, arrow.ChunkedArray)):
        kind = inputs.type
        held = kind.value_type if arrow.types.is_dictionary(kind) else kind
        is_string = (arrow.types.is_string, arrow.types.is_large_string, arrow.types.is_string_view)
        if not (any(test(held) for test in is_string) or arrow.types.is_null(held)):
            raise TypeError(f"inputs is an Arrow column of {kind}, expected strings.")
        if arrow.types.is_dictionary(kind):
            inputs = _decoded(inputs)
        nulls = inputs.is_null().to_numpy(zero_copy_only=False) if inputs.null_count else None
        return _ArrowColumn(inputs, [] if nulls is None else nulls.nonzero()[0].tolist())
    if polars is not None and isinstance(inputs, polars.Series):
        kinds = (polars.String, polars.Categorical, polars.Enum, polars.Null)
        if inputs.dtype not in kinds:
            raise TypeError(f"inputs is a Polars column of {inputs.dtype}, expected strings.")
        series = inputs.clone()  # shares the memory; a series can be changed in place, memory not
        return _PolarsColumn(series, series.is_null().arg_true().to_list())
    return None
