"""Ids and metadata of rows: checked when they are given, and used to choose rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.search.saved import SavedIndexError

# Ids named in a message.
_NAMED = 10


class IdTable:
    """The row of each id, found out when it is first asked for."""

    def __init__(self, ids: Sequence[str | None]) -> None:
        """Take the ids by row; the table follows when some are added to them."""
        self._ids = ids
        self._rows: dict[str, int] = {}
        self._seen = 0

    def rows(self) -> dict[str, int]:
        """Return the row of each id.

        Raises:
            SavedIndexError: Two rows of a saved index have the same.
        """
        for row in range(self._seen, len(self._ids)):
            name = self._ids[row]
            if name is None:
                continue
            if self._rows.setdefault(name, row) != row:
                raise SavedIndexError(
                    f"rows {self._rows[name]} and {row} have the same id {name!a}; the index is "
                    "damaged: restore the folder from a copy, or make it anew."
                )
            self._seen = row + 1
        self._seen = len(self._ids)
        return self._rows

    def find(self, names: Iterable[str]) -> list[int]:
        """Return the rows of ids, ascending.

        Raises:
            ValueError: There are none of some ids.
        """
        known = self.rows()
        wanted = set(names)
        missing = sorted(wanted - known.keys(), key=repr)
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(wanted)} ids are not there: {_listed(missing)}."
            )
        return sorted(known[name] for name in wanted)


def checked_ids(given: Any, single: bool, count: int, known: dict[str, int]) -> list[str | None]:
    """Return ids for texts that are to be added.

    Args:
        given: A string for a single text, else a string or None for each text; None for no ids.
        single: Whether the texts were given as one string.
        count: How many texts there are.
        known: The ids that are taken.

    Raises:
        TypeError: One is not a string.
        ValueError: There are more or fewer than texts, or two are equal.
    """
    if given is None:
        return [None] * count
    ids = [given] if single else _one_each("ids", given, count)
    taken = set()
    for row, name in enumerate(ids):
        if name is None:
            continue
        if not isinstance(name, str):
            raise TypeError(f"ids: row {row} is {type(name).__name__} {name!r}, expected a string.")
        if name in known or name in taken:
            where = f"row {known[name]} of the index" if name in known else "another of these rows"
            raise ValueError(f"ids: row {row} has the id {name!r}, which {where} has already.")
        taken.add(name)
    return ids


def checked_metadata(given: Any, single: bool, count: int) -> list[Any]:
    """Return copies of metadata for texts that are to be added, as JSON gives them back.

    Args:
        given: A value for a single text, else one for each text; None for none.
        single: Whether the texts were given as one string.
        count: How many texts there are.

    Raises:
        TypeError: JSON cannot hold a value.
        ValueError: There are more or fewer than texts, or a value has NaN, infinity or itself.
    """
    if given is None:
        return [None] * count
    values = [given] if single else _one_each("metadata", given, count)
    return [_as_json(row, value) for row, value in enumerate(values)]


def _as_json(row: int, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"metadata: row {row} cannot be JSON: {error}.") from None


def _one_each(name: str, given: Any, count: int) -> list[Any]:
    if isinstance(given, str | bytes | dict) or not hasattr(given, "__len__"):
        raise TypeError(f"{name} is a {type(given).__name__}, expected a list with one a text.")
    if len(given) != count:
        raise ValueError(f"{name} has {len(given)} rows and there are {count} texts.")
    return list(given)


def rows_of_filter(
    chosen: Callable[[Any], object] | Collection[str] | None,
    metadata: Sequence[Any],
    table: IdTable,
) -> NDArray[np.int64] | None:
    """Return the rows that a filter leaves, ascending; None for all.

    Raises:
        TypeError: It is neither a function nor a set of ids.
    """
    if chosen is None:
        return None
    if callable(chosen):
        rows = [row for row, value in enumerate(metadata) if chosen(value)]
    elif isinstance(chosen, str | bytes) or not isinstance(chosen, Collection):
        raise TypeError(
            f"filter is a {type(chosen).__name__}, expected a function of metadata or a set of ids."
        )
    else:
        known = table.rows()
        rows = sorted({known[name] for name in chosen if name in known})
    return np.array(rows, np.int64)


def _listed(names: Sequence[Any]) -> str:
    more = ", ..." if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more
