"""From the bytes of a connection to requests, each of which has one meaning only."""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Any, NoReturn

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from bge_micro.server.heads import Refusal, path_of, refusal_of, without_upgrade
from bge_micro.server.held import HeldByClients
from bge_micro.server.limits import Limits
from bge_micro.server.transport import HeldBackFlow

# Bytes that are parsed at a time. Requests that come one behind another are parsed when those
# before are answered, so this also is the most that is taken in of them at once.
_SLICE = 8 << 10


class _RefusedError(Exception):
    """Ends the parsing of a connection; `ParsingProtocol` has the reason."""


class ParsingProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with limits to what is parsed, and requests that mean one thing only."""

    limits: Limits
    held: HeldByClients
    flow: HeldBackFlow

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what uvicorn gives."""
        super().__init__(*args, **options)
        self._cycles: deque[RequestResponseCycle] = deque()  # not yet answered, oldest first
        self._unparsed = memoryview(b"")
        self._unfinished = 0  # bytes since the last of a head, a body or a message
        self._head_bytes = 0
        self._in_head = False
        self._in_body = False
        self._reason = Refusal(HTTPStatus.BAD_REQUEST, "this is no HTTP request")

    def refuse(self, reason: Refusal) -> None:
        """Take nothing more from this client."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to read."""
        super().connection_made(transport)
        self.flow = HeldBackFlow(transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes, and parse those whose turn it is."""
        self._unset_keepalive_if_required()
        if self._unparsed:
            data = bytes(self._unparsed) + data
        self._unparsed = memoryview(data)
        self.parse()

    def parse(self) -> None:
        """Parse what has come, up to a request that has to wait for others of this connection."""
        while self._unparsed and not self.pipeline:
            # So that a head that is too large by one byte is seen before it is complete.
            size = min(_SLICE, self.limits.head_bytes - self._unfinished)
            part, self._unparsed = self._unparsed[:size], self._unparsed[size:]
            self._unfinished += len(part)
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserUpgrade as stop:
                self._parse_again(bytes(part[stop.args[0] :]))
            except httptools.HttpParserError:
                self.refuse(self._reason)
                break
            if self._unfinished >= self.limits.head_bytes:
                self.refuse(self._too_large())
            elif self._unfinished and not self.held.heads.set(self, self._unfinished):
                busy = "too many large heads at once; try again"
                self.refuse(Refusal(HTTPStatus.SERVICE_UNAVAILABLE, busy))
        self.flow.hold_back(bool(self._unparsed))

    def _parse_again(self, rest: bytes) -> None:
        """Put a request that the parser has taken for an upgrade in front of what is not parsed."""
        head = without_upgrade(
            self.parser.get_method(), self.url, self.parser.get_http_version(), self.headers
        )
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._unfinished = 0
        self._unparsed = memoryview(head + rest + bytes(self._unparsed))

    def on_message_begin(self) -> None:
        """Begin with a head."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target."""
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; drop what comes behind a body, after the others have been looked at."""
        if not self._in_head:
            if name.lower() in (b"connection", b"upgrade"):  # which the parser would obey even so
                self._stop(Refusal(HTTPStatus.BAD_REQUEST, "a header is in the wrong place"))
            return
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self.limits.head_bytes or len(self.headers) >= self.limits.headers:
            self._stop(self._too_large())
        name = name.lower()
        self.headers.append((name, value))
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """Begin to work on a request."""
        version = self.parser.get_http_version()
        reason = refusal_of(self.parser.get_method(), version, self.headers)
        if reason is not None:
            self._stop(reason)
        if self.parser.should_upgrade():
            return  # it comes again
        path = path_of(self.url, self.headers)
        if path is None:
            self._stop(Refusal(HTTPStatus.BAD_REQUEST, "the request's target makes no sense here"))
        self.url = path
        self._in_head = False
        self._in_body = True
        self._unfinished = 0
        self.expect_100_continue = self.expect_100_continue and version != "1.0"
        super().on_headers_complete()
        # Who waits for the word to send a body, and gets an answer instead, may send it or not.
        if self.expect_100_continue:
            self.cycle.keep_alive = False
        self._cycles.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Be ready for the next head."""
        self._unfinished = 0
        if self._in_body:
            self._in_body = False
            super().on_message_complete()
            # uvicorn has stopped reading if the rest was large; but that a client leaves has to be
            # read, too.
            self.flow.resume_reading()

    def _stop(self, reason: Refusal) -> NoReturn:
        self._reason = reason
        raise _RefusedError

    def _too_large(self) -> Refusal:
        return Refusal(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"the request's head is larger than {self.limits.head_bytes} bytes, or has more than "
            f"{self.limits.headers} headers",
        )
