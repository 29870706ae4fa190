"""Texts from lines: plain, or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from bge_micro.cli.fields import Fields, FoundRow, no_such_name

_UTF8_MARK = b"\xef\xbb\xbf"


def count_lines(file: IO[bytes]) -> int:
    """Return the number of lines of a file that can seek, and go back to its beginning."""
    count, last = 0, b"\n"
    while block := file.read(1 << 20):
        count += block.count(b"\n")
        last = block
    file.seek(0)
    return count + (not last.endswith(b"\n"))


def text_rows(lines: Iterable[bytes]) -> Iterator[FoundRow]:
    """Yield the lines, each with its number from 1 and its fault, if it has one."""
    for place, line in enumerate(lines, 1):
        if place == 1:
            line = line.removeprefix(_UTF8_MARK)  # editors on Windows put it there
        yield FoundRow(place, *_decode(line.removesuffix(b"\n").removesuffix(b"\r")))


def json_rows(lines: Iterable[bytes], fields: Fields) -> Iterator[FoundRow]:
    """Yield the texts of lines of JSON, strings or objects; empty lines are left out."""
    for place, line, fault, _ in text_rows(lines):
        if line.strip():
            text, kept, json_fault = _parse(line, fields)
            yield FoundRow(place, text, fault or json_fault, kept)


def _decode(line: bytes) -> tuple[str, str | None]:
    """Return the text and its fault, if it has one."""
    try:
        return line.decode("utf-8"), None
    except UnicodeDecodeError as error:
        fault = f"is not UTF-8: found byte 0x{line[error.start]:02x} at position {error.start + 1}"
        return line.decode("utf-8", errors="replace"), fault


def _parse(line: str, fields: Fields) -> tuple[str, dict[str, Any], str | None]:
    """Return the text in a line of JSON, what is carried along, and its fault, if it has one."""
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        return "", {}, f"is not JSON: {error}"
    if isinstance(value, str) and not fields.keep:
        return value, {}, None
    field = fields.text
    if not isinstance(value, dict):
        either = "" if fields.keep else "a string, or "
        expected = f"expected {either}an object with a string called {field!r}"
        return "", {}, f"holds {json_type(value)}, {expected}"
    kept = {name: value.get(name) for name in fields.named(value)}
    if field not in value:
        return "", kept, f"{no_such_name(field, [*value])}; name the text's field by --field"
    text = value[field]
    if not isinstance(text, str):
        return "", kept, f"holds {json_type(text)}, expected a string as {field!r}"
    missing = next((name for name in fields.keep if name not in value), None)
    return text, kept, None if missing is None else no_such_name(missing, [*value])


def json_type(value: object) -> str:
    """Return JSON's own name for the type of a value."""
    if value is None:
        return "null"
    names = {dict: "an object", list: "an array", bool: "a boolean", str: "a string"}
    return names.get(type(value), "a number")
