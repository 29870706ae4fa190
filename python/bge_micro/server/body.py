"""Reading the bodies of requests: bounded in size, in time and all together."""

from __future__ import annotations

from typing import Any

import anyio
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from bge_micro.server.errors import TRY_AGAIN, RequestError, UnavailableError
from bge_micro.server.held import Held
from bge_micro.server.json_values import JsonLimits, parse_json, size_when_parsed
from bge_micro.server.limits import Limits

# What curl says of all that -d gives it, what fetch says of a string, and nothing at all.
_UNSAID = ("application/x-www-form-urlencoded", "text/plain", "")


class BodyReader:
    """Reads bodies, and keeps account of what is held of them."""

    def __init__(self, limits: Limits, tokens: int, held: Held) -> None:
        """Prepare.

        Args:
            limits: The limits of bodies.
            tokens: The most tokens of a text.
            held: Where what is held is kept account of, under the requests.
        """
        self._limits = limits
        self._json = JsonLimits(limits.texts, tokens)
        self._held = held

    async def read(self, request: Request) -> Any:
        """Return the JSON value in a request's body; `release` it when done, or after an error.

        Raises:
            RequestError: The content is of another type, too large, too slow, cut short or no JSON.
        """
        _check_content_type(request.headers)
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError("compressed bodies are not read", status=415)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limits.body_bytes:
            raise self._too_large()
        body = await self._bytes(request)
        self._hold(request, size_when_parsed(body))
        return parse_json(body, self._json)

    def release(self, request: Request) -> None:
        """Say that nothing of a request's body is held any more."""
        self._held.release(request)

    async def _bytes(self, request: Request) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            with anyio.fail_after(self._limits.body_seconds):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > self._limits.body_bytes:
                        raise self._too_large()
                    self._hold(request, size)
                    chunks.append(chunk)
        except TimeoutError:
            raise self._too_slow() from None
        except ClientDisconnect:
            raise RequestError("the client left before the body was complete") from None
        return b"".join(chunks)

    def _hold(self, request: Request, size: int) -> None:
        if not self._held.set(request, size):
            raise UnavailableError("too many large requests at once; try again", headers=TRY_AGAIN)

    # What still comes of a body after these answers could be taken for the next request, so the
    # connection is closed.

    def _too_slow(self) -> RequestError:
        return RequestError(
            f"the body did not come within {self._limits.body_seconds:g} seconds",
            status=408,
            headers={"Connection": "close"},
        )

    def _too_large(self) -> RequestError:
        return RequestError(
            f"the body is larger than {self._limits.body_bytes} bytes; send several requests",
            status=413,
            headers={"Connection": "close"},
        )


def _check_content_type(headers: Headers) -> None:
    """Raise a RequestError unless a body counts as JSON by its Content-Type.

    A page of another origin can make a browser send some types without asking the server first. So
    what `curl -d` and simple programs say of JSON is taken for it only if no browser sends it: all
    browsers name the page's origin when they post.
    """
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json" or (content_type in _UNSAID and "origin" not in headers):
        return
    raise RequestError(
        "the Content-Type must be application/json; with curl, add "
        "-H 'Content-Type: application/json'",
        status=415,
    )
