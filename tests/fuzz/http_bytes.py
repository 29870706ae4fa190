"""Bytes of a connection: each request in them is read as a small strict model reads it, or refused.

The first byte of an input says in how many pieces the rest comes, and whether the application
answers before it has read a body. Everything in front of the application is real, but for time and
the socket: uvicorn's protocol, httptools, and what is between.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import re
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import uvicorn

from bge_micro.server.connection import guarded_by
from bge_micro.server.held import HeldByClients
from bge_micro.server.limits import Limits
from bge_micro.server.metrics import Metrics

from .http_model import Request, read
from .mutation import Damage

LIMITS = Limits(head_bytes=4096)


class Loop(asyncio.AbstractEventLoop):
    """An event loop without time, sockets or waiting."""

    def __init__(self) -> None:
        self.ready: deque[Callable[[], object]] = deque()

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        context = context or contextvars.copy_context()
        self.ready.append(lambda: context.run(callback, *args))

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return asyncio.TimerHandle(delay, callback, args, self)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        raise AssertionError(context)

    def run(self) -> None:
        asyncio._set_running_loop(self)
        try:
            while self.ready:
                self.ready.popleft()()
        finally:
            asyncio._set_running_loop(None)


class Transport(asyncio.Transport):
    """Takes what is written; delivers nothing while reading is paused, as a socket's does."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False
        self.paused = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def write_eof(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0


_ANSWER = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
_SEEN: list[Request] = []
_EARLY = False


async def _application(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    more = not _EARLY
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    headers = tuple(
        (name, value.rstrip(b" \t")) for name, value in scope["headers"] if name != b"upgrade"
    )
    path = scope["raw_path"]
    _SEEN.append(Request(scope["method"].encode(), path, scope["query_string"], headers, body))
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body"})


_LOOP = Loop()
_CONFIG = uvicorn.Config(_application, interface="asgi3", access_log=False, log_config=None)
_CONFIG.load()
_STATE = uvicorn.server.ServerState()
_CONNECTION = guarded_by(LIMITS, Metrics(lambda: 0, {}), HeldByClients(LIMITS))
_STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")


def fuzz(data: bytes) -> None:
    """Send the bytes, and compare what is answered with what has to be."""
    global _EARLY
    if not data:
        return
    how, data = data[0], data[1:]
    _EARLY = bool(how & 0x80)
    _SEEN.clear()
    connection = _CONNECTION(_CONFIG, _STATE, {}, _LOOP)
    transport = Transport()
    connection.connection_made(transport)
    for piece in pieces(data, how & 0x7F):
        if transport.closed:
            break
        connection.data_received(piece)
        _LOOP.run()
    written = bytes(transport.written)
    closed = transport.closed or connection._refusal is not None
    connection.connection_lost(None)
    _LOOP.run()
    check(data, written, closed)


def pieces(data: bytes, how: int) -> Iterator[bytes]:
    size = {0: len(data), 1: 1}.get(how, how)
    for at in range(0, len(data), max(size, 1)):
        yield data[at : at + size]


def check(data: bytes, written: bytes, closed: bool) -> None:
    statuses = [int(status) for status in _STATUS.findall(written) if status[0] != ord("1")]
    refused = [status for status in statuses if status != 200]
    assert refused in ([], statuses[-1:]), statuses
    assert statuses.count(200) == len(_SEEN), (statuses, _SEEN)
    seen = iter(_SEEN)
    silent = False  # whether the connection may have been closed without a word
    for step in read(data):
        found = next(seen, None)
        if step.request is None:
            assert found is None, found
            assert refused or (silent and closed), data
            return
        if found is None:
            assert step.doubtful or silent, (data, step)
            assert step.broken or refused or closed, data
            return
        expected = step.request._replace(body=b"") if _EARLY else step.request
        assert found == expected, (found, expected)
        assert _EARLY or not step.broken, (data, found)
        silent = silent or (_EARLY and step.doubtful)
    assert next(seen, None) is None, (data, _SEEN)


# Other inputs

TOKENS = [
    *(b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b":", b",", b"\0", b"\x0b", b"0"),
    *(b"3\r\nabc\r\n", b"0\r\n\r\n", b"#", b"//", b"a=b;", b"close", b"upgrade", b"chunked"),
    *(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"POST /p?q HTTP/1.1\r\nHost: a\r\n", b"HEAD "),
    *(b"Content-Length: 3\r\n", b"Content-Length: 30\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Connection: close\r\n", b"Upgrade: x\r\n"),
    *(b"Connection: keep-alive, Upgrade\r\n", b"Expect: 100-continue\r\n", b"Host: b\r\n"),
    *(b"X: y\r\n", b"HTTP/1.0", b"HTTP/1.1", b"http://a", b"CONNECT a:1", b"identity"),
    *(b"Connection: ", b"PRI * HTTP/2.0\r\n\r\n"),
]


def mutate(data: bytes, most: int, rng: random.Random, damage: Damage) -> bytes:
    """Put words and lines of HTTP in, move lines about, or damage the bytes."""
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(5)
        at = rng.randrange(len(data) + 1)
        if kind == 0:
            data = damage(data, most) if data else b"\0"
        elif kind == 1:
            data = data[:at] + rng.choice(TOKENS) + data[at:]
        else:
            lines = data.split(b"\r\n")
            line = rng.randrange(len(lines))
            if kind == 2:
                lines.insert(line, rng.choice(lines))
            elif kind == 3:
                lines.insert(line, rng.choice(TOKENS).removesuffix(b"\r\n"))
            else:
                del lines[line]
            data = b"\r\n".join(lines)
    if data and rng.random() < 0.1:
        data = bytes([rng.choice([0, 0x80, 1, 0x81, 2, 7, 0x90])]) + data[1:]
    return data[:most]
