"""A column of an index: the lines of a saved one, and what was added since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, overload

Value = TypeVar("Value")


class Column(Sequence[Value]):
    """Values by row: those of a saved index are decoded when asked for."""

    def __init__(self, saved: Sequence[Value] | None = None, rows: int = 0) -> None:
        """Take the values of a saved index's rows; None if each of them is None."""
        self._saved = saved
        self._rows = rows
        self._added: list[Value] = []

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._rows + len(self._added)

    @overload
    def __getitem__(self, rows: int) -> Value: ...
    @overload
    def __getitem__(self, rows: slice) -> list[Value]: ...
    def __getitem__(self, rows: int | slice) -> Any:
        """Return a value, or those of a slice; raises like `JsonLines`."""
        if isinstance(rows, slice):
            return [self[row] for row in range(*rows.indices(len(self)))]
        row = range(len(self))[rows]
        if row >= self._rows:
            return self._added[row - self._rows]
        return None if self._saved is None else self._saved[row]

    def __eq__(self, other: object) -> bool:
        """Compare with another sequence, row by row."""
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(map(lambda a, b: a == b, self, other))

    __hash__ = None  # type: ignore[assignment]

    def extend(self, values: Iterable[Value]) -> None:
        """Add rows."""
        self._added.extend(values)

    def keep(self, rows: Iterable[int]) -> None:
        """Keep only these rows, in this order."""
        self._added = [self[row] for row in rows]
        self._saved, self._rows = None, 0
