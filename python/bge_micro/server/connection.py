"""A connection: HTTP by uvicorn and httptools, guarded against clients that never come to an end.

uvicorn waits without limit for a request's head and for a client that does not read its answer, and
httptools takes a head of any size: descriptors and memory would be a client's for as long as it
likes. Bodies have limits of their own, see body.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bge_micro.server.limits import Limits


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, whose methods asyncio and the parser call; for `guarded_by`."""

    limits: ClassVar[Limits]

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what uvicorn gives."""
        super().__init__(*args, **options)
        self._unfinished = 0  # bytes since the last of a head, a body or a message
        self._until_head = _Deadline(self.loop, self.limits.head_seconds, self._head_too_slow)
        self._until_read = _Deadline(
            self.loop, self.limits.answer_seconds, lambda: self.transport.abort()
        )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, unless there are too many connections."""
        super().connection_made(transport)
        self._until_head.start()
        if len(self.connections) > self.limits.connections:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; try again")

    def data_received(self, data: bytes) -> None:
        """Parse some more, unless a head, or trailers, or a chunk's extension, become too large."""
        if self._idle:  # a head begins, or what comes is the body of a request that was refused
            self._until_head.start()
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > self.limits.head_bytes:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the request's head is larger than {self.limits.head_bytes} bytes",
            )

    def on_headers_complete(self) -> None:
        """Begin to work on a request."""
        self._until_head.cancel()
        self._unfinished = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Be ready for the next head."""
        self._unfinished = 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Give the client time to read its answer."""
        super().pause_writing()
        self._until_read.start()

    def resume_writing(self) -> None:
        """Note that nearly all of it has been read."""
        self._until_read.cancel()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing has come, even if its last answer is not read."""
        super().timeout_keep_alive_handler()
        self._until_read.start()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._until_head.cancel()
        self._until_read.cancel()
        super().connection_lost(exc)

    @property
    def _idle(self) -> bool:
        """Whether no request is being worked on."""
        return self.cycle is None or self.cycle.response_complete

    def _head_too_slow(self) -> None:
        self._refuse(
            HTTPStatus.REQUEST_TIMEOUT,
            f"no request came within {self.limits.head_seconds:g} seconds",
        )

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Close the connection, with an answer if none is being worked on."""
        if self._idle and not self.transport.is_closing():
            self.transport.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\n"
                "content-type: text/plain; charset=utf-8\r\n"
                f"content-length: {len(message)}\r\nconnection: close\r\n\r\n{message}".encode()
            )
        self.transport.close()
        self._until_read.start()


class _Deadline:
    """A timer that can be started, once at a time, and cancelled."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, action: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._action = action
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, self._action)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def guarded_by(limits: Limits) -> type[Connection]:
    """Return the class of connections with these limits, for uvicorn's configuration."""

    class Guarded(Connection):
        pass

    Guarded.limits = limits
    return Guarded
