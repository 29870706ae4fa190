"""The fields of a JSON object, read one by one, with errors that name them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from bge_micro.server.errors import InputError
from bge_micro.server.foreign_fields import ForeignFields

# What a field is called; anything else may be a text in the wrong place and is not repeated.
_NAME = re.compile(r"[A-Za-z_]{1,40}")
# Numbers that are repeated in an error; longer ones are no mistyped lengths.
_SHOWN = 10**9
# What stands for true and false where texts are cut.
_CUT = ("END",)
_WHOLE = ("NONE",)


@dataclass(frozen=True)
class Rows:
    """What is to be embedded.

    Attributes:
        rows: Texts, or lists of what should be token ids; the engine's thread looks into those.
        are_ids: Whether they are ids.
    """

    rows: Sequence[str] | Sequence[list[Any]]
    are_ids: bool


class Fields:
    """A JSON object of a request. Null counts as absent."""

    def __init__(
        self, values: Any, known: Sequence[str], foreign: ForeignFields, path: str = ""
    ) -> None:
        """Check that `values` is an object with fields that have a meaning, or need none.

        Args:
            values: The parsed JSON.
            known: The fields that have a meaning.
            foreign: Decides about others. Most are errors, because a request that asks for
                something else should not get vectors without it.
            path: The object's place, such as "inputs.".
        """
        place = path.removesuffix(".") or "the body"
        if not isinstance(values, dict):
            raise InputError(f"{place} is {_kind(values)}, expected an object")
        for name, value in values.items():
            if name in known or value is None:
                continue
            objection = foreign.objection(name, value)
            if objection is not None:
                shown = f"{path}{name}" if _NAME.fullmatch(name) else f"a field of {place}"
                raise InputError(f"{shown} {objection}; known are {', '.join(known)}")
        self._values = values
        self._foreign = foreign
        self._path = path

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string; a default of None makes it required."""
        value = self._values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            self._refuse(name, "a string")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """Return one of some strings; the first is the default."""
        value = self._values.get(name)
        if value is None:
            return choices[0]
        if value not in choices:
            expected = " or ".join(map(repr, choices))
            raise InputError(f"{self._path}{name}: expected {expected}", param=self._path + name)
        return str(value)

    def flag(self, name: str, default: bool) -> bool:
        """Return a boolean."""
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self._refuse(name, "true or false")
        return value

    def truncation(self, name: str, default: bool) -> bool:
        """Return whether to cut long texts at their end: a boolean, or a word of Cohere and NIM."""
        value = self._values.get(name)
        if value is None:
            return default
        if value in _CUT:
            return True
        if value in _WHOLE:
            return False
        return self.flag(name, default)

    def whole(self, name: str, most: int) -> int | None:
        """Return an integer from 1 to `most`, or None."""
        value = self._values.get(name)
        if value is None:
            return None
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 1 <= value <= most or value != int(value):  # 5.0 is whole in JSON
            self._refuse(name, f"a whole number from 1 to {most}")
        return int(value)

    def object(self, name: str, known: Sequence[str]) -> Fields:
        """Return an object, an empty one for its absence."""
        value = self._values.get(name)
        return Fields({} if value is None else value, known, self._foreign, f"{self._path}{name}.")

    def mapping(self, name: str) -> dict[str, Any]:
        """Return an object as it is, whatever its fields; an empty one for its absence."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, dict):
            self._refuse(name, "an object")
        return value or {}

    def is_empty(self, name: str) -> bool:
        """Return whether a field is absent, an empty string or an empty list."""
        return self._values.get(name) in (None, "", [])

    def listed_texts(self, name: str, most: int) -> list[str]:
        """Return a list of 1 to `most` strings; a string alone is refused."""
        if isinstance(self._values.get(name), str):
            self._refuse(name, "a list of strings")
        return self.texts(name, most)

    def texts(self, name: str, most: int) -> list[str]:
        """Return a list of 1 to `most` strings; a string counts as a list of one."""
        rows = self.rows(name, most)
        if rows.are_ids:
            self._refuse(name, "a string or a list of strings")
        return list(rows.rows)  # type: ignore[arg-type]

    def rows(self, name: str, most: int) -> Rows:
        """Return 1 to `most` texts or lists of token ids.

        They are written as a string, a list of strings, a list of numbers, which is one text's
        ids, or a list of such lists.
        """
        value = self._values.get(name)
        if isinstance(value, str):
            return Rows([value], are_ids=False)
        if not isinstance(value, list):
            self._refuse(name, "a string, a list of strings, or token ids")
        if not value:
            raise InputError(f"{self._path}{name} is empty", param=self._path + name)
        first = type(value[0])
        if first in (int, float):
            return Rows([value], are_ids=True)
        if len(value) > most:
            raise InputError(
                f"{self._path}{name} has {len(value)} texts, at most {most} are allowed in a "
                "request; send several requests",
                param=self._path + name,
            )
        if first not in (str, list):
            self._refuse(f"{name}[0]", "a string or a list of token ids", value[0])
        expected = "a string" if first is str else "a list of token ids"
        for row, element in enumerate(value):
            if type(element) is not first:
                self._refuse(f"{name}[{row}]", f"{expected} as in row 0", element)
        return Rows(value, are_ids=first is list)

    def _refuse(self, name: str, expected: str, value: Any = None) -> NoReturn:
        where = self._path + name
        kind = _kind(self._values.get(name) if value is None else value)
        raise InputError(f"{where} is {kind}, expected {expected}", param=where.partition("[")[0])


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)) and abs(value) < _SHOWN:
        return str(value)
    kinds = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds[type(value)]
