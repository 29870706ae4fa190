"""At the default limits the server survives any bytes in 512 MB, and answers others meanwhile."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from .servers import PATIENCE, ServerProcess, Start
from .test_hostile_clients import HEAD, connect

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MOST_KB = 512 << 10
SIZE = 8 << 20


def filled(start: bytes, part: bytes, end: bytes) -> bytes:
    count = (SIZE - len(start) - len(end)) // (len(part) + 1)
    return start + b",".join([part] * count) + end


def hostile_bodies() -> Iterator[bytes]:
    for part in (b'{"":1}', b"[]", b'"ab"', b"1.5"):
        yield filled(b'{"inputs":[[', part, b"]]}")
    yield filled(b'{"inputs":["', b"\\ud83d", b'"]}')
    yield filled(b'{"inputs":["\xf0\x9f\x98\x80', b"a", b'"]}')
    yield filled(b'{"inputs":["', b'\\"', b'"]}')
    yield filled(b'{"inputs":"a"', b'"a":1', b"}")
    ids = b"[" + b",".join([b"30000"] * 513) + b"]"  # one too many, which is seen when it is parsed
    yield b'{"inputs":[' + b",".join([ids] * 2040) + b"]}"


def peak_kb(server: ServerProcess) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def ask(server: ServerProcess) -> float:
    """Return the seconds that a tiny request takes, which has to be answered."""
    start = time.monotonic()
    answer = httpx.post(f"{server.url}embed", json={"inputs": "a"}, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return time.monotonic() - start


def report(what: str, server: ServerProcess, seconds: list[float]) -> None:
    peak = peak_kb(server)
    print(f"{what}: peak {peak >> 10} MB, a tiny request meanwhile {max(seconds):.2f} s at most")
    assert peak < MOST_KB


def post(server: ServerProcess, body: bytes) -> None:
    with connect(server.url) as connection:
        try:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            assert connection.recv(12) in (b"HTTP/1.1 400", b"HTTP/1.1 422", b"HTTP/1.1 503")
        except ConnectionError:
            pass  # refused before all of it was sent


def test_hostile_json(start: Start) -> None:
    server = start()
    for body in hostile_bodies():
        with ThreadPoolExecutor(4) as pool:
            posts = [pool.submit(post, server, body) for _ in range(4)]
            seconds = [ask(server)]
            for done in posts:
                done.result()
    report("bodies of all kinds, 4 at once", server, seconds)


def test_bodies_that_do_not_end(start: Start) -> None:
    server = start()
    with ExitStack() as stack, ThreadPoolExecutor(40) as pool:

        def begin() -> None:
            connection = stack.enter_context(connect(server.url))
            with suppress(ConnectionError):  # refused
                connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % SIZE + b" " * 7_900_000)

        for done in [pool.submit(begin) for _ in range(40)]:
            done.result()
        report("40 unfinished bodies of 8 MB", server, [ask(server) for _ in range(20)])


def test_heads_that_do_not_end(start: Start) -> None:
    server = start()
    lines = b"X: y\r\n" * 120 + b"Y: " + b"y" * 60_000
    with ExitStack() as stack:
        for _ in range(900):
            connection = stack.enter_context(connect(server.url))
            connection.sendall(HEAD + lines)
        report("900 unfinished heads of 60 KB", server, [ask(server) for _ in range(20)])


def test_answers_that_nobody_reads(start: Start) -> None:
    server = start()
    request = [
        json.dumps({"inputs": ["a"] * 2048}).encode(),
        json.dumps({"inputs": ["a b " * 2000] * 8}).encode(),
    ]
    paths = (b"/embed", b"/tokenize")
    with ExitStack() as stack:
        for number in range(40):
            connection = stack.enter_context(connect(server.url))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            body = request[number % 2]
            head = HEAD.replace(b"/embed", paths[number % 2])
            connection.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            if number % 6 == 5:
                time.sleep(0.5)
        seconds = [ask(server) for _ in range(20)]
        report("40 answers of 8 MB that nobody reads", server, seconds)


def test_requests_that_do_not_wait_for_answers(start: Start) -> None:
    server = start()
    with ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(connect(server.url))
            connection.setblocking(False)
            try:
                while True:
                    connection.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5000)
            except BlockingIOError:
                pass
        report("4 floods of requests", server, [ask(server) for _ in range(20)])
