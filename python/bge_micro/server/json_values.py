"""JSON from bytes, whose cost is bounded before it is parsed.

A megabyte of `[[],[],...` becomes 20 MB of Python objects, and Python's garbage collector visits
them again and again. So values are counted first, and a body that cannot be a request is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from bge_micro.server.errors import RequestError

# More strings and fields than any request has besides its texts, but few to parse.
_SPARE = 1 << 14
_SPARE_CONTAINERS = 64
# Bytes of a number as a Python object, with its place in a list.
_NUMBER_BYTES = 40

_BLOCK = 1 << 16
_ESCAPED = re.compile(rb"\\u[dD][89abAB]|\\u[dD][c-fC-F]")
_WIDE = re.compile(rb"[\xf0-\xff]|\\u[dD]")


@dataclass(frozen=True)
class JsonLimits:
    """What a JSON value may consist of.

    Attributes:
        texts: The most texts, or lists of token ids, of a request.
        tokens: The most token ids of a list.
    """

    texts: int
    tokens: int

    def check(self, body: bytes) -> None:
        """Refuse, at a cost of up to 8 ms a megabyte, what would cost much more to parse.

        Raises:
            RequestError: There are more strings, lists, objects or numbers than a request can have.
        """
        # Most bodies are within the limits even if the characters inside texts are counted too.
        if self._allow(body):
            return
        # Both replacements keep what is outside of strings, where there is no backslash.
        plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
        if not self._allow(_outside_strings(plain)):
            raise RequestError(
                "the body has more strings, lists, objects or numbers than a request for "
                f"{self.texts} texts, or lists of {self.tokens} token ids, can have"
            )

    def _allow(self, json: bytes) -> bool:
        return (
            json.count(b"[") + json.count(b"{") <= self.texts + _SPARE_CONTAINERS
            and json.count(b'"') <= 2 * (self.texts + _SPARE)
            and json.count(b":") <= _SPARE
            and json.count(b",") <= self.texts * self.tokens + _SPARE
        )


def _outside_strings(json: bytes) -> bytes:
    """Return what is not within quotes, of JSON without escaped quotes, and all the quotes."""
    parts = []
    quotes = 0  # so far, or something with the same last bit
    for start in range(0, len(json), _BLOCK):
        block = np.frombuffer(json[start : start + _BLOCK], np.uint8)
        is_quote = block == ord('"')
        count = np.cumsum(is_quote, dtype=np.uint8) + np.uint8(quotes)
        parts.append(block[is_quote | (count & 1 == 0)].tobytes())
        quotes = int(count[-1]) & 1
    return b"".join(parts)


def size_when_parsed(body: bytes) -> int:
    """Return an upper bound of the bytes that a checked body takes as Python objects."""
    narrow = body.isascii() and b"\\u" not in body
    width = 1 if narrow else 4 if _WIDE.search(body) else 2  # bytes of a character
    return width * len(body) + _NUMBER_BYTES * body.count(b",")


def parse_json(body: bytes, limits: JsonLimits) -> Any:
    """Parse JSON.

    Raises:
        RequestError: It is none, too large, or nested too deeply. Its bytes are not quoted.
    """
    limits.check(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = error.pos
    # orjson refuses lone surrogates, which JavaScript writes when it has cut an emoji in two.
    if _ESCAPED.search(body):
        try:
            return orjson.loads(_without_lone_surrogates(body))
        except orjson.JSONDecodeError as error:
            place = error.pos
    raise RequestError(
        f"the body is not valid JSON in UTF-8, or a number in it is too large (near character "
        f"{place})"
    )


def _without_lone_surrogates(body: bytes) -> bytes:
    r"""Write \ufffd, which the tokenizer reads for them, instead of escapes without a partner."""
    text = np.frombuffer(body.replace(b"\\\\", b"__"), np.uint8)  # a backslash that escapes none
    starts = np.flatnonzero(text[:-5] == ord("\\"))
    lower = text | 0x20
    starts = starts[(text[starts + 1] == ord("u")) & (lower[starts + 2] == ord("d"))]
    third = lower[starts + 3]
    high = starts[np.isin(third, np.frombuffer(b"89ab", np.uint8))]
    low = starts[np.isin(third, np.frombuffer(b"cdef", np.uint8))]
    lone = np.concatenate([high[~np.isin(high + 6, low)], low[~np.isin(low - 6, high)]])
    changed = np.frombuffer(body, np.uint8).copy()
    changed[lone[:, None] + np.arange(2, 6)] = np.frombuffer(b"fffd", np.uint8)
    return changed.tobytes()
