"""Clients that never finish, or come in thousands, are bounded, and others are served."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from bge_micro import SentenceTransformer
from bge_micro.server.limits import Limits

from .servers import PATIENCE, Running, ServerProcess, Start, running

SECRET = "xyzzy plugh"
JSON = {"Content-Type": "application/json"}
HEAD = b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GOOD = HEAD + b'Content-Length: 15\r\n\r\n{"inputs": "a"}'

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, sets limits")


def connect(url: str) -> socket.socket:
    port = int(url.strip("/").rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    answer = b""
    try:
        while block := connection.recv(1 << 16):
            answer += block
    except ConnectionResetError:
        pass
    return answer


def read_one(connection: socket.socket) -> bytes:
    """Read an answer of known length."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1 << 16)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(body) < length:
        body += connection.recv(1 << 16)
    return head


@pytest.mark.parametrize(
    ("start", "repeated"),
    [
        (b"GET /", b"a" * 1000),
        (HEAD + b"X-Long: ", b"a" * 1000),
        (HEAD + b"X-", b"a" * 1000),
        (HEAD, b"X: y\r\n"),
        (GOOD + HEAD, b"X: y\r\n"),
    ],
)
def test_endless_heads(server: Running, start: bytes, repeated: bytes) -> None:
    most = server.service.limits.head_bytes
    with connect(server.url) as connection:
        if start.startswith(GOOD):
            connection.sendall(GOOD)
            assert read_one(connection).startswith(b"HTTP/1.1 200 ")
            start = start.removeprefix(GOOD)
        connection.sendall(start + repeated * (most // len(repeated) + 1))
        assert read_all(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("start", "repeated"),
    [
        (GOOD + HEAD, b"X: y\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;", b"a" * 1000),
    ],
)
def test_endless_heads_and_trailers_of_a_request_that_waits(
    server: Running, start: bytes, repeated: bytes
) -> None:
    with connect(server.url) as connection:
        connection.sendall(start)
        wait_until(lambda: is_closed(connection, repeated * 100))
    assert answers(server.url)


@pytest.mark.parametrize("sent", [b"", b"G", HEAD, HEAD + b"Content-Len", GOOD + HEAD])
def test_slow_heads(model: SentenceTransformer, sent: bytes) -> None:
    seconds = 3 if sent.startswith(GOOD) else 0.3  # where something has to come in time
    with running(model, Limits(head_seconds=seconds)) as server, connect(server.url) as connection:
        if sent.startswith(GOOD):
            connection.sendall(GOOD)
            assert read_one(connection).startswith(b"HTTP/1.1 200 ")
            sent = sent.removeprefix(GOOD)
        connection.sendall(sent)
        answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 408 ")
        wait_until(lambda: answers(server.url))


@pytest.mark.parametrize("content_type", [b"text/plain", b"application/json"])
def test_bodies_that_go_on_after_the_answer(
    model: SentenceTransformer, content_type: bytes
) -> None:
    head = b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: %b\r\n" % content_type
    limits = Limits(head_seconds=3, body_bytes=1000)
    with running(model, limits) as server, connect(server.url) as connection:
        connection.sendall(
            head + b"Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + b" " * 2000 + b"\r\n"
        )
        assert read_one(connection).startswith((b"HTTP/1.1 415 ", b"HTTP/1.1 413 "))
        wait_until(lambda: is_closed(connection, b"1\r\n \r\n"))


def test_a_client_that_does_not_read(model: SentenceTransformer) -> None:
    body = json.dumps({"inputs": ["a"] * 2048}).encode()
    with running(model, Limits(answer_seconds=0.5)) as server, connect(server.url) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        connection.recv(1, socket.MSG_PEEK)  # the answer is on its way
        wait_until(lambda: is_closed(connection))


def is_closed(connection: socket.socket, more: bytes = b"\r\n") -> bool:
    """Return whether the other side accepts no more bytes; a request may follow an empty line."""
    try:
        connection.sendall(more)
    except OSError:
        return True
    return False


def test_too_many_connections(model: SentenceTransformer) -> None:
    with running(model, Limits(connections=5)) as server:
        held = [connect(server.url) for _ in range(5)]
        for connection in held:
            connection.sendall(GOOD)
            assert read_one(connection).startswith(b"HTTP/1.1 200 ")
        with connect(server.url) as one_more:
            assert read_all(one_more).startswith(b"HTTP/1.1 503 ")
        held[0].sendall(GOOD)
        assert read_one(held[0]).startswith(b"HTTP/1.1 200 ")
        for connection in held:
            connection.close()
        wait_until(lambda: answers(server.url))


def answers(url: str) -> bool:
    """Tell whether a request is served now."""
    try:
        return httpx.get(f"{url.rstrip('/')}/health", timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def resident_kb(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def descriptors(process: int) -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


def drop_connections(url: str, count: int) -> None:
    """Open connections, send any part of a request, and close them, a hundred at a time."""
    request = HEAD + b'Content-Length: 40\r\n\r\n{"inputs": "xyzzy plugh xyzzy plugh"}   '
    parts = itertools.cycle([0, 1, 20, len(HEAD), len(request) - 20, len(request)])
    for _ in range(count // 100):
        group = [connect(url) for _ in range(100)]
        for connection in group:
            connection.sendall(request[: next(parts)])
        for connection in group:
            connection.close()


@linux_only
@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_connections_opened_and_dropped(start: Start, count: int) -> None:
    server = start()
    process = server.process.pid
    drop_connections(server.url, 500)
    wait_until(lambda: answers(server.url))
    open_before = descriptors(process)
    for _ in range(3):  # more that are open at once take more; what is lost is lost each time
        before = resident_kb(process)
        drop_connections(server.url, count)
        wait_until(lambda: descriptors(process) <= open_before and answers(server.url))
        grown = resident_kb(process) - before
        print(f"{count} connections dropped: {before} KB resident, {grown} KB more afterwards")
        if grown < 4096:
            break
    assert grown < 4096
    stop(server)
    assert SECRET not in str(server.lines)


@linux_only
def test_no_descriptor_left(start: Start) -> None:
    import resource

    server = start()
    process = server.process.pid
    wait_until(lambda: answers(server.url))
    most = descriptors(process) + 20
    resource.prlimit(process, resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        held = [stack.enter_context(connect(server.url)) for _ in range(60)]
        held[0].sendall(GOOD)
        assert read_one(held[0]).startswith(b"HTTP/1.1 200 ")
    wait_until(lambda: answers(server.url))
    stop(server)  # whose log is still JSON: it was read as such


def stop(server: ServerProcess) -> None:
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_shutdown_among_all_kinds_of_clients(start: Start) -> None:
    """Some idle, some slow, some busy and some new."""
    server = start()
    idle = [connect(server.url) for _ in range(20)]
    for connection, sent in zip(idle, itertools.cycle([b"", HEAD, GOOD]), strict=False):
        connection.sendall(sent)
    counts = {"answered": 0, "not accepted": 0}
    broken: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                answer = httpx.post(
                    f"{server.url}embed", json={"inputs": [SECRET] * 30}, timeout=PATIENCE
                )
            except httpx.TransportError:
                counts["not accepted"] += 1
                time.sleep(0.01)
                continue
            if answer.status_code == 200 and len(answer.json()) == 30:
                counts["answered"] += 1
            elif answer.status_code != 503:
                broken.append(f"{answer.status_code} {answer.text}")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: counts["answered"] > 20)
    server.process.send_signal(signal.SIGTERM)
    try:
        assert server.wait() == 0
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for connection in idle:
            connection.close()
    assert not broken
    assert server.lines[-1]["event"] == "stopped"
    assert SECRET not in str(server.lines)
