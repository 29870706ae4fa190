"""The inputs of `encode`: one text or many, copied once and checked before any work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np

from bge_micro.choices import ERRORS, check_choice
from bge_micro.columns import Column, as_column

# Iterable, but not a list of texts.
_NOT_ROWS = (bytes, bytearray, memoryview, Mapping, Set)

# Rows named in an error message.
_NAMED_ROWS = 10


class Texts(NamedTuple):
    """Checked texts.

    Attributes:
        rows: The texts to encode; a copy, so no other thread can change it.
        single: Whether the input was one text, not a list.
        skipped: How many rows were left out because they are not strings.
    """

    rows: Sequence[str]
    single: bool
    skipped: int = 0


def read_texts(inputs: Any, errors: str, first_row: int = 0) -> Texts:
    """Copy the inputs of `encode` once, and check the copy.

    Only the list is copied, not the texts. If another thread changes the inputs later, the copy
    stays the same.

    Args:
        inputs: A string; or a list, tuple, array, series or other sequence of strings; or a column
            of strings of Arrow or Polars.
        errors: What to do with a row that is not a string: "strict" raises, "replace" takes the
            empty text for it, "skip" leaves it out.
        first_row: The number of the first row, for error messages.

    Raises:
        TypeError: The inputs are of another kind, or (strict) a row is not a string.
        ValueError: `errors` is unknown, a row is a missing value (None, NaN) instead of a string
            (strict), or an array has more than one dimension.
    """
    check_choice("errors", errors, ERRORS)
    if isinstance(inputs, str):
        return Texts([inputs], single=True)
    if isinstance(inputs, np.ndarray) and inputs.ndim == 0 and inputs.dtype.kind in "UO":
        return read_texts(inputs.item(), errors)
    column = as_column(inputs)
    if column is not None:
        strings = _without_missing(column, errors, first_row)
        return Texts(strings, single=False, skipped=len(column) - len(strings))
    rows = _as_list(inputs)
    if all(type(row) is str for row in rows):  # the usual case, and fast
        return Texts(rows, single=False)
    bad = [number for number, row in enumerate(rows) if not isinstance(row, str)]
    if bad and errors == "strict":
        raise _bad_rows(rows, bad, first_row)
    if errors == "skip":
        kept: list[str] = [row for row in rows if isinstance(row, str)]
        return Texts(kept, single=False, skipped=len(bad))
    if bad:
        rows = [row if isinstance(row, str) else "" for row in rows]
    return Texts(rows, single=False)


def _without_missing(column: Column, errors: str, first_row: int) -> Column:
    if not column.missing:
        return column
    if errors == "strict":
        raise _bad_rows(column, column.missing, first_row)
    return column.dropped() if errors == "skip" else column.filled()


def _as_list(inputs: Any) -> list[Any]:
    if isinstance(inputs, (list, tuple)):
        return list(inputs)
    dimensions = getattr(inputs, "ndim", 1)
    if dimensions != 1:
        raise ValueError(
            f"inputs is a {type(inputs).__name__} of {dimensions} dimensions, "
            "expected one dimension of strings."
        )
    if isinstance(inputs, np.ndarray):
        return inputs.tolist()  # type: ignore[no-any-return]
    rows = isinstance(inputs, Iterable) and not isinstance(inputs, _NOT_ROWS)
    if rows and hasattr(inputs, "__len__"):
        return list(inputs)
    hint = ""
    if isinstance(inputs, (bytes, bytearray)):
        hint = " Decode bytes first: text.decode('utf-8')."
    elif rows:
        hint = " For an iterator use list(...), or encode_iter to keep memory bounded."
    raise TypeError(
        f"inputs is a {type(inputs).__name__}, expected a string or a list of strings.{hint}"
    )


def _bad_rows(rows: Sequence[Any], bad: Sequence[int], first_row: int) -> Exception:
    """Name the first bad rows: a ValueError if all are missing values, else a TypeError."""
    named = ", ".join(
        f"row {first_row + number} is {_describe(rows[number])}" for number in bad[:_NAMED_ROWS]
    )
    more = f" and {len(bad) - _NAMED_ROWS} more" if len(bad) > _NAMED_ROWS else ""
    message = (
        f"{len(bad)} of {len(rows)} inputs are not strings: {named}{more}. Expected str in every "
        "row; errors='replace' takes the empty text instead, errors='skip' leaves such rows out."
    )
    missing = all(_is_missing(rows[number]) for number in bad)
    return ValueError(message) if missing else TypeError(message)


def _is_missing(row: Any) -> bool:
    # pandas' NA, without importing pandas.
    return row is None or (isinstance(row, float) and row != row) or type(row).__name__ == "NAType"


def _describe(row: Any) -> str:
    if _is_missing(row):
        return "None" if row is None else "NaN" if isinstance(row, float) else "<NA>"
    try:
        text = repr(row)
    except Exception:  # code of another package; the row is named anyway
        text = "that cannot be shown"
    return f"{type(row).__name__} {text if len(text) <= 40 else text[:37] + '...'}"
