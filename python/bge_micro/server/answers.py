"""Vectors to the bytes of an answer, without holding up the event loop."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.responses import Response

from bge_micro.server.errors import JSON
from bge_micro.server.jobs import Embedded

Vector = NDArray[np.float32]

# Up to so many vectors are written by the event loop itself, in under half a millisecond.
_FEW = 16


def json_response(value: Any) -> Response:
    """Return an answer that holds a small value as JSON."""
    return Response(orjson.dumps(value), media_type=JSON)


async def vectors_response(
    embedded: Embedded, start: bytes, element: Callable[[int, Vector], bytes], end: bytes
) -> Response:
    """Return an answer that holds a list of vectors.

    Args:
        embedded: The vectors.
        start: What comes before the list.
        element: Writes a vector, given its number.
        end: What comes after the list.
    """

    def write() -> bytes:
        # One by one: each is a moment during which the event loop has to wait for the interpreter.
        rows = b",".join([element(*row) for row in enumerate(embedded.vectors)])
        return b"".join([start, rows, end])

    if len(embedded.vectors) <= _FEW:
        body = write()
    else:
        body = await asyncio.get_running_loop().run_in_executor(None, write)
    headers = {"X-Truncated-Texts": str(embedded.truncated)} if embedded.truncated else None
    return Response(body, headers=headers, media_type=JSON)


def as_numbers(vector: Vector) -> bytes:
    """Write a vector as a JSON list: for each number the fewest digits that give it back."""
    return orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY)


def as_base64(vector: Vector) -> bytes:
    """Write a vector as a JSON string: base64 of its bytes, little-endian as everywhere here."""
    return b'"%b"' % base64.b64encode(vector.tobytes())
