"""A connection with limits for clients that never finish, which notices clients that leave.

uvicorn waits without limit for a request's head and for a client that does not read its answer, so
a client could keep descriptors and memory for any time. body.py has the limits of bodies,
parsing.py those of what is parsed.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any, cast

from starlette.types import Receive, Scope, Send

from bge_micro.server.heads import Refusal
from bge_micro.server.held import HeldByClients
from bge_micro.server.limits import Limits
from bge_micro.server.metrics import Metrics
from bge_micro.server.parsing import ParsingProtocol
from bge_micro.server.transport import Deadline

_log = logging.getLogger(__name__)


class Connection(ParsingProtocol):
    """What asyncio and uvicorn call for each connection; for `guarded_by`."""

    metrics: Metrics

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what uvicorn gives."""
        super().__init__(*args, **options)
        self._serve, self.app = self.app, self._serve_until_left
        self._task: asyncio.Task[Any] | None = None  # of the oldest request
        self._refusal: Refusal | None = None
        self._half_closed = False  # the client sends nothing more
        self._until_head = Deadline(self.loop, self._head_too_slow)
        self._until_read = Deadline(self.loop, self._answer_too_slow)
        self._until_left = Deadline(self.loop, self._ask_if_left)
        self._until_over = Deadline(self.loop, lambda: self.transport.abort())

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, unless there are too many connections."""
        super().connection_made(transport)
        self._until_head.start(self.limits.head_seconds)
        if len(self.connections) > self.limits.connections:
            self.refuse(Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; try again"))
            transport.close()  # at once, because there may be hardly a descriptor left

    def data_received(self, data: bytes) -> None:
        """Parse some more, unless the connection is about to end."""
        if self._refusal is not None or self.transport.is_closing():
            return
        if not self._cycles:  # a head begins, or what comes is the body of an answered request
            self._until_head.start(self.limits.head_seconds)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Begin to work on a request."""
        super().on_headers_complete()
        if self._in_body:
            self._until_head.cancel()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep a connection that the client has half closed as long as it has answers to get."""
        self._half_closed = bool(self._cycles) and not self._cycles[-1].more_body
        if self._half_closed:
            self._until_left.start(self.limits.left_seconds)
        return self._half_closed

    def pause_writing(self) -> None:
        """Give the client time to read its answer, and all of them together so much room."""
        super().pause_writing()
        self._until_read.start(self.limits.answer_seconds)
        answers = self.held.answers
        while not answers.set(self, self.transport.get_write_buffer_size()):
            slowest = cast("Connection | None", answers.oldest())
            if slowest is None:
                return  # this answer alone is larger than all may be together
            answers.release(slowest)
            slowest._answer_too_slow()

    def resume_writing(self) -> None:
        """Note that nearly all of it has been read."""
        self._until_read.cancel()
        self.held.answers.release(self)
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing has come, even if its last answer is not read."""
        super().timeout_keep_alive_handler()
        self._until_read.start(self.limits.answer_seconds)

    def on_response_complete(self) -> None:
        """Continue with the bytes that the client has sent since then."""
        self._cycles.popleft()
        self.held.heads.release(self)
        super().on_response_complete()
        if self.transport.is_closing():
            return
        self.parse()
        if self._cycles and self._half_closed:
            self._until_left.cancel()
            self._until_left.start(self.limits.left_seconds)
        if not self._cycles:
            if self._refusal is not None:
                self._say_refusal()
            elif self._half_closed:
                self.transport.close()

    def refuse(self, reason: Refusal) -> None:
        """Read nothing more, and tell the client why once what it asked before is answered."""
        self._refusal = reason
        self._unparsed = memoryview(b"")
        self._until_head.cancel()
        self.metrics.count_refused(reason.status)
        fields = {"status": reason.status.value, "reason": reason.message}
        _log.info("refused", extra={"fields": fields})
        newest = self._cycles[-1] if self._cycles else None
        if self._in_body and newest is not None and not newest.response_started:
            # What cannot be read is the rest of this request, whose answer is the refusal.
            newest.disconnected = True
            self._cycles.pop()
            if self.pipeline:
                self.pipeline.popleft()
            elif self._task is not None:
                self._task.cancel()
        elif self._in_body:
            # It is the rest of an answered request: another answer would be taken for that to the
            # client's next one.
            self._refusal = reason._replace(message="")
        if not self._cycles:
            self._say_refusal()

    def shutdown(self) -> None:
        """Answer what has come; wait for a client only so long."""
        super().shutdown()
        self.loop.call_later(self.limits.farewell_seconds, self._end_if_waiting)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting, and what is being done for this client."""
        for deadline in (self._until_head, self._until_read, self._until_left, self._until_over):
            deadline.cancel()
        self.held.heads.release(self)
        self.held.answers.release(self)
        self._unparsed = memoryview(b"")
        super().connection_lost(exc)
        for cycle in self._cycles:
            cycle.disconnected = True
        if self._task is not None:
            self._task.cancel()

    async def _serve_until_left(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application; it is cancelled if the client leaves."""
        if self.transport.is_closing() or not self._cycles:
            return  # it has left, or was refused, before this began
        self._task = asyncio.current_task()
        try:
            await self._serve(scope, receive, send)
        except asyncio.CancelledError:
            if self._refusal is None and not self.transport.is_closing():
                raise
        finally:
            if self._task is asyncio.current_task():
                self._task = None

    def _ask_if_left(self) -> None:
        """Find out whether a client that sends nothing more is still there.

        An interim answer, which clients of HTTP/1.1 have to expect, makes the system of one that
        has left reset the connection. Those of HTTP/1.0 cannot be asked.
        """
        if not self._cycles or self._cycles[0].response_started:
            return
        if self._cycles[0].scope["http_version"] == "1.0":
            self.transport.abort()
            return
        self.transport.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        self._until_left.start(self.limits.left_seconds)

    def _say_refusal(self) -> None:
        assert self._refusal is not None
        status, message = self._refusal
        if message:
            self.transport.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\n"
                "content-type: text/plain; charset=utf-8\r\n"
                f"content-length: {len(message)}\r\nconnection: close\r\n\r\n{message}".encode()
            )
        # Closed at once, with bytes of the client unread, the system would reset the connection,
        # and the client might never see why.
        self.transport.write_eof()
        self._until_over.start(self.limits.linger_seconds)

    def _head_too_slow(self) -> None:
        seconds = self.limits.head_seconds
        self.refuse(
            Refusal(HTTPStatus.REQUEST_TIMEOUT, f"no request came within {seconds:g} seconds")
        )

    def _answer_too_slow(self) -> None:
        self.metrics.count_unread()
        _log.info("answer not read")
        self.transport.abort()

    def _end_if_waiting(self) -> None:
        """End a connection that a shutdown waits for, unless the server itself has work for it."""
        if not self._cycles or self._cycles[0].more_body or self.flow.write_paused:
            self.transport.abort()


def guarded_by(limits: Limits, metrics: Metrics, held: HeldByClients) -> type[Connection]:
    """Return the class of connections with these limits, for uvicorn's configuration."""
    attributes = {"limits": limits, "metrics": metrics, "held": held}
    return type("GuardedConnection", (Connection,), attributes)
