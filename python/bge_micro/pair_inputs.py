"""The inputs of `CrossEncoder.predict`: one pair of texts or many, copied once and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

# Rows named in an error message.
_NAMED_ROWS = 10


class Pairs(NamedTuple):
    """Checked pairs.

    Attributes:
        rows: The pairs; a copy, so no other thread can change it.
        single: Whether the input was one pair, not a list.
    """

    rows: list[tuple[str, str]]
    single: bool


def read_pairs(inputs: Any) -> Pairs:
    """Copy pairs of texts once, and check the copy.

    Args:
        inputs: Two strings in a list, tuple or array, or a list, tuple or array of such pairs.

    Raises:
        TypeError: The inputs are of another kind, or a row is not two strings; the first ten bad
            rows are named.
    """
    rows = inputs.tolist() if isinstance(inputs, np.ndarray) else inputs
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Sequence):
        raise TypeError(
            f"inputs is a {type(inputs).__name__}, expected a pair of strings or a list of pairs, "
            "such as [(query, text), ...]."
        )
    if len(rows) > 0 and isinstance(rows[0], str):
        return Pairs(_checked([rows], "inputs is"), single=True)
    return Pairs(_checked(list(rows), "row {} is"), single=False)


def _checked(rows: list[Any], where: str) -> list[tuple[str, str]]:
    bad = [number for number, row in enumerate(rows) if not _is_pair(row)]
    if not bad:
        return [(row[0], row[1]) for row in rows]
    named = ", ".join(
        f"{where.format(number)} {_describe(rows[number])}" for number in bad[:_NAMED_ROWS]
    )
    more = f" and {len(bad) - _NAMED_ROWS} more" if len(bad) > _NAMED_ROWS else ""
    raise TypeError(
        f"{len(bad)} of {len(rows)} rows are not pairs of strings: {named}{more}. Expected two "
        "strings in every row: the query, then the text."
    )


def _is_pair(row: Any) -> bool:
    return (
        isinstance(row, (list, tuple))
        and len(row) == 2
        and isinstance(row[0], str)
        and isinstance(row[1], str)
    )


def _describe(row: Any) -> str:
    kind = type(row).__name__
    if not isinstance(row, (list, tuple)):
        return f"a {kind}"
    return f"a {kind} of {', '.join(type(each).__name__ for each in row[:3]) or 'nothing'}" + (
        f" ({len(row)} in all)" if len(row) > 3 else ""
    )
