"""Reading the bodies of requests: bounded in size, in time and all together."""

from __future__ import annotations

import anyio
from starlette.requests import ClientDisconnect, Request

from bge_micro.server.errors import TRY_AGAIN, RequestError, UnavailableError
from bge_micro.server.limits import Limits


class BodyReader:
    """Reads bodies, and keeps count of the bytes that are held."""

    def __init__(self, limits: Limits) -> None:
        """Hold at most what the limits say."""
        self._limits = limits
        self._held = 0

    async def read(self, request: Request) -> bytes:
        """Read the body of a request that should hold JSON; `release` it when done.

        Raises:
            RequestError: The content is of another type, too large, too slow, or cut short.
        """
        content_type = request.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() != "application/json":
            raise RequestError("the Content-Type must be application/json", status=415)
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError("compressed bodies are not read", status=415)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limits.body_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        try:
            with anyio.fail_after(self._limits.body_seconds):
                async for chunk in request.stream():
                    size += len(chunk)
                    self._held += len(chunk)
                    if size > self._limits.body_bytes:
                        raise self._too_large()
                    if self._held > self._limits.held_bytes:
                        raise UnavailableError(
                            "too many large requests at once; try again", headers=TRY_AGAIN
                        )
                    chunks.append(chunk)
        except BaseException as error:
            self._held -= size
            if isinstance(error, TimeoutError):
                raise self._too_slow() from None
            if isinstance(error, ClientDisconnect):
                raise RequestError("the client left before the body was complete") from None
            raise
        return b"".join(chunks)

    def release(self, body: bytes) -> None:
        """Say that nothing of a body is held any more."""
        self._held -= len(body)

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
