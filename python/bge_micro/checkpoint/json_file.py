"""Read the small JSON files of a model folder without trusting them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from bge_micro.checkpoint.advice import refuse_pointer
from bge_micro.checkpoint.errors import CheckpointError, MissingFileError

# A config file has a few hundred bytes. The bound keeps a wrong file from being read whole.
MAX_JSON_BYTES = 16 * 2**20

# A tokenizer for a hundred languages has 17 MB.
MAX_TOKENIZER_BYTES = 128 * 2**20

# tokenizer_config.json writes "no limit" as int(1e30); no valid number is longer than that.
# Without a bound, converting a hostile literal costs time quadratic in its length.
_MAX_INT_DIGITS = 40


def read_json_object(path: Path, most_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Read a JSON file that must hold an object.

    Args:
        path: The file.
        most_bytes: The size above which it is not read.

    Returns:
        The object as a dictionary.

    Raises:
        MissingFileError: The file does not exist.
        CheckpointError: It is too large, not UTF-8, not JSON, or not an object.
    """
    value = read_json(path, most_bytes)
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{path}: expected a JSON object, found {json_type(value)}; the file is damaged."
        )
    return value


def read_json(path: Path, most_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read any JSON value from a file; raises like `read_json_object`."""
    return parse_json(read_bounded(path, most_bytes), str(path))


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """Read the bytes of a JSON file; raises like `read_json_object`, but parses nothing."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise CheckpointError(f"{path}: expected a regular file.")
        if size > most_bytes:
            raise CheckpointError(
                f"{path}: {size} bytes are too many for a model's JSON file "
                f"(limit {most_bytes}); is this the right file?"
            )
        data = path.read_bytes()
        refuse_pointer(path, data)
        return data
    except FileNotFoundError:
        raise MissingFileError(
            f"{path}: the file is missing; the model folder is incomplete."
        ) from None


def parse_json(data: bytes, where: str) -> Any:
    """Parse UTF-8 JSON strictly: no duplicate keys, no NaN, no endless integers, no deep nesting.

    Args:
        data: The text.
        where: The file, or the part of a file, for the error message.

    Returns:
        The parsed value.

    Raises:
        CheckpointError: The text breaks one of these rules.
    """
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object_without_duplicates,
            parse_int=_bounded_int,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise CheckpointError(f"{where}: the JSON is nested too deeply to be genuine.") from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise CheckpointError(
            f"{where}: not valid JSON ({error}); the file is damaged or was cut off."
        ) from None


def json_type(value: object) -> str:
    """Return JSON's own name for the type of a parsed value, for error messages."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    names |= {int: "a number", float: "a number", type(None): "null"}
    return names[type(value)]


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r} appears twice")
            seen.add(key)
    return result


def _bounded_int(literal: str) -> int | float:
    if len(literal) > _MAX_INT_DIGITS:
        raise ValueError(f"an integer of {len(literal)} digits")
    # -0 is no integer to the safetensors package, which therefore refuses it as an offset.
    return -0.0 if literal == "-0" else int(literal)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
