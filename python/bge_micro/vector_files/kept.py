"""What files of vectors hold of rows besides vectors: their numbers, and values carried along."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.json_text import json_line

# Larger whole numbers have no exact float64.
_EXACT = 1 << 53
_INT64 = range(-(1 << 63), 1 << 63)


class RowNumbers:
    """The numbers of rows in an input: few bytes where few are missing."""

    def __init__(self) -> None:
        """Begin without rows."""
        self._runs: list[list[int]] = []  # first number and length of what has no gap

    def extend(self, numbers: Iterable[int]) -> None:
        """Add numbers, ascending."""
        for number in numbers:
            if self._runs and sum(self._runs[-1]) == number:
                self._runs[-1][1] += 1
            else:
                self._runs.append([number, 1])

    def as_array(self) -> NDArray[np.int64]:
        """Return the numbers, (rows,)."""
        runs = [np.arange(first, first + length) for first, length in self._runs]
        return np.concatenate([np.empty(0, np.int64), *runs])

    def missing(self) -> Iterable[int]:
        """Yield the numbers between 0 and the last that are not there."""
        end = 0
        for first, length in self._runs:
            yield from range(end, first)
            end = first + length


class ColumnKind:
    """What one type can hold all values of a column that were seen.

    Values of JSON: if they are not all of one type, strings stay as they are and others are written
    as JSON.
    """

    def __init__(self) -> None:
        """Begin without values."""
        self._kinds: set[str] = set()

    def see(self, value: Any) -> None:
        """Take a value into account."""
        if value is None:
            return
        kind = type(value).__name__
        if kind == "int" and abs(value) > _EXACT:
            kind = "large int" if value in _INT64 else "huge int"
        self._kinds.add(kind)

    def dtype(self, *, nulls: bool = False) -> type[Any]:
        """Return bool, int, float or str.

        Args:
            nulls: Whether some values are missing and the type has to hold that, as NaN.
        """
        numbers = {"int", "float"}
        if self._kinds == {"bool"} and not nulls:
            return bool
        if self._kinds and self._kinds <= {"int", "large int"} and not nulls:
            return int
        return float if self._kinds and self._kinds <= numbers else str


def text_of(value: Any) -> str:
    """Return a value as text: strings as they are, others as JSON."""
    return value if isinstance(value, str) else json_line(value)


class KeptColumns:
    """The values of all rows, for arrays of NumPy."""

    def __init__(self) -> None:
        """Begin without rows."""
        self._rows = 0
        self._columns: dict[str, list[Any]] = {}

    def extend(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the values of rows, by name; those that a row lacks are null."""
        for name in dict.fromkeys(name for row in rows for name in row):
            column = self._columns.setdefault(name, [None] * self._rows)
            column.extend(row.get(name) for row in rows)
        self._rows += len(rows)
        for column in self._columns.values():
            column.extend([None] * (self._rows - len(column)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return an array for each name, (rows,): of truth values, whole numbers, floats or text.

        null is NaN among numbers and empty among texts.
        """
        return {name: _array(jsonable(values)) for name, values in self._columns.items()}


def _array(values: list[Any]) -> NDArray[Any]:
    kind = ColumnKind()
    for value in values:
        kind.see(value)
    dtype = kind.dtype(nulls=None in values)
    if dtype is str:
        return np.array(["" if value is None else text_of(value) for value in values], np.str_)
    if dtype is float:
        values = [math.nan if value is None else value for value in values]
    return np.array(values, np.int64 if dtype is int else dtype)


def jsonable(value: Any) -> Any:
    """Return a value as JSON can hold it: NaN and infinity as null, dates and the like as text.

    Raises:
        ValueError: It is of bytes.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): jsonable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in value]
    if isinstance(value, bytes):
        raise ValueError(f"{value[:20]!r}: bytes cannot be written as JSON or an array of NumPy.")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
