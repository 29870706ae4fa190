"""One reading of every request: what parsers, proxies and clients might take in two ways."""

from __future__ import annotations

import json
import socket

import pytest

from bge_micro import SentenceTransformer
from bge_micro.server.access import Admission
from bge_micro.server.limits import Limits

from .servers import Running, running
from .test_hostile_clients import connect, read_all, wait_until

HEAD = b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
BODY = b'{"inputs":"the cat"}'
CHUNKED = b"5\r\n%b\r\nf\r\n%b\r\n0\r\n\r\n" % (BODY[:5], BODY[5:])
LAST = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
# A request within a body, which must never be answered.
INNER = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"


def exchange(server: Running, *parts: bytes) -> list[tuple[int, bytes]]:
    """Send bytes, in so many writes, and return status and body of each answer."""
    with connect(server.url) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
        return answers_in(read_all(connection))


def answers_in(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        length = head.lower().partition(b"content-length:")[2].split()
        size = int(length[0]) if length else 0
        if status >= 200:
            found.append((status, data[:size]))
        data = data[size:]
    return found


def singly(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


UPGRADES = [
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Connection: upgrade\r\nUpgrade: anything\r\n",
    b"Connection: keep-alive, Upgrade\r\nUpgrade: h2c, x/1\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n",
    b"Upgrade: TLS/1.0\r\nUpgrade: b\r\nConnection: close\r\nConnection: Upgrade\r\n",
]


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("form", ["length", "chunked", "none"])
def test_an_upgrade_is_ignored(server: Running, upgrade: bytes, form: str) -> None:
    if form == "none":
        request = b"GET /health HTTP/1.1\r\nHost: a\r\n" + upgrade + b"\r\n"
        expected = b'{"status":"ok"}'
    else:
        length = b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
        chunked = b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED
        request = HEAD + upgrade + (length if form == "length" else chunked)
        expected = exchange(server, HEAD + b"Connection: close\r\n" + length)[0][1]
    follow = b"" if b"close" in upgrade else LAST
    head, _, body = request.partition(b"\r\n\r\n")
    for parts in (
        [request + follow],
        [head + b"\r\n\r\n", body, follow],
        [head[:-3], head[-3:] + b"\r\n\r\n" + body[:7], body[7:], follow],
        singly(request + follow),
    ):
        answers = exchange(server, *filter(None, parts))
        assert answers == [(200, expected), (200, b'{"status":"ok"}')][: 1 + bool(follow)]


def test_a_body_of_an_upgrade_is_never_a_request(server: Running) -> None:
    for upgrade in UPGRADES:
        length = b"Content-Length: %d\r\n\r\n%b" % (len(INNER), INNER)
        chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER)
        for body in (length, chunked):
            answers = exchange(server, HEAD + upgrade + body + LAST)
            assert [status for status, _ in answers] == [400, 200][: len(answers)]
            assert len(answers) == 2 - (b"close" in upgrade)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        # Length and coding
        (b"Content-Length: 20\r\nContent-Length: 20", 400),
        (b"Content-Length: 20\r\nContent-Length: 0", 400),
        (b"Content-Length: 20, 20", 400),
        (b"Content-Length: +20", 400),
        (b"Content-Length: 0x14", 400),
        (b"Content-Length: 2 0", 400),
        (b"Content-Length: -1", 400),
        (b"Content-Length:", 400),
        (b"Content-Length: 99999999999999999999", 400),
        (b"Content-Length : 20", 400),
        (b"Content-Length: 20\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 20", 400),
        (b"Transfer-Encoding: xchunked", 501),
        (b"Transfer-Encoding: identity", 501),
        (b"Transfer-Encoding: identity, chunked", 501),
        (b"Transfer-Encoding: gzip, chunked", 501),
        (b"Transfer-Encoding: chunked, identity", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: chunked;q=1", 501),
        (b'Transfer-Encoding: "chunked"', 501),
        (b"Transfer-Encoding:", 400),
        (b"Transfer-Encoding : chunked", 400),
        (b"Transfer-Encoding:\r\n chunked", 400),
        (b"Transfer-Encoding: \x0bchunked", 400),
        # Lines
        (b"X: a\r\n b", 400),
        (b"X: a\nContent-Length: 20", 400),
        (b"X: a\rContent-Length: 20", 400),
        (b"X: a\x00b", 400),
        (b"X\x00: b", 400),
        (b"X b", 400),
        (b": b", 400),
        (b" X: b", 400),
        # What there can be one of only
        (b"Host: b", 400),
        (b"Host: a", 400),
        (b"Authorization: Bearer a\r\nAuthorization: Bearer b", 400),
        (b"Content-Type: text/plain", 400),
        (b"Expect: 100-continue\r\nExpect: 100-continue", 400),
        (b"Expect: 200-ok", 417),
    ],
)
def test_heads_of_two_readings_are_refused(server: Running, head: bytes, status: int) -> None:
    for parts in ([HEAD + head + b"\r\n\r\n" + INNER + LAST], singly(HEAD + head + b"\r\n\r\n")):
        answers = exchange(server, *parts)
        assert [found for found, _ in answers] == [status], answers


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a", 501),
        (b"PRI * HTTP/2.0", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM", 400),
        (b"DESCRIBE /health RTSP/1.0\r\nHost: a", 501),
        (b"SOURCE /health ICE/1.0\r\nHost: a", 501),
        (b"PROPFIND /health HTTP/1.1\r\nHost: a", 501),
        (b"get /health HTTP/1.1\r\nHost: a", 400),
        (b"GET /health", 505),
        (b"GET /health HTTP/0.9\r\nHost: a", 505),
        (b"GET /health HTTP/2.0\r\nHost: a", 505),
        (b"GET /health HTTP/1.1", 400),  # no Host
        (b"GET /health HTTP/1.1\nHost: a", 400),
        (b"GET /health HTTP/1.1 \r\nHost: a", 400),
        (b"GET /health x HTTP/1.1\r\nHost: a", 400),
        (b"GET /health#x HTTP/1.1\r\nHost: a", 400),
        (b"GET http://b/health HTTP/1.1\r\nHost: a", 400),
        (b"GET a:80 HTTP/1.1\r\nHost: a", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: a", 400),
        (b"GET /\xe9 HTTP/1.1\r\nHost: a", 400),
        (b"GET /health HTTP/1.1\r\nHost: a/b", 400),
        (b"GET /health HTTP/1.1\r\nHost: a@b", 400),
        (b"POST /embed HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked", 400),
    ],
)
def test_starts_of_two_readings_are_refused(server: Running, start: bytes, status: int) -> None:
    answers = exchange(server, start + b"\r\n\r\n" + CHUNKED + INNER)
    assert [found for found, _ in answers] == [status], answers


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /health HTTP/1.0\r\n\r\n",
        b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + INNER,
        b"GET http://a/health HTTP/1.1\r\nHost: A\r\nConnection: close\r\n\r\n",
        LAST.replace(b"/health", b"/health?a").replace(b"Host: a", b"Host: [::1]:80"),
        b"\r\n\r\n" + LAST + INNER,
        HEAD.replace(b"POST /embed", b"GET /health")
        + b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(INNER), INNER),
    ],
)
def test_what_is_unusual_and_clear_is_answered(server: Running, request_: bytes) -> None:
    assert exchange(server, request_) == [(200, b'{"status":"ok"}')]


def test_trailers_are_no_headers(model: SentenceTransformer) -> None:
    with running(model, admission=Admission("k")) as server:
        head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        trailers = b"Authorization: Bearer k\r\nHost: b\r\nX: y\r\n\r\n"
        body = CHUNKED.removesuffix(b"\r\n")
        assert [status for status, _ in exchange(server, head + body + trailers)] == [401]
        # The body comes after the application has begun to work.
        assert [status for status, _ in exchange(server, head, body, trailers)] == [401]


@pytest.mark.parametrize("trailer", [b"Connection: close", b"connection: x", b"Upgrade: h2c"])
def test_trailers_do_not_decide_what_follows(server: Running, trailer: bytes) -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    body = CHUNKED.removesuffix(b"\r\n")
    answers = exchange(server, head + body + trailer + b"\r\n\r\n" + LAST)
    assert [status for status, _ in answers] == [400]


@pytest.mark.parametrize("body", [b"5\nabcde", b"5\r\nabcdeX", b"0x5\r\n", b"5 \r\n", b"-1\r\n"])
def test_a_broken_body_is_refused_once(server: Running, body: bytes) -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    for parts in ([head + body + b"\r\n" + INNER], [LAST.replace(b"close", b"x") + head, body]):
        statuses = [status for status, _ in exchange(server, *parts)]
        assert statuses == [200, 400][2 - len(parts) :], parts
    # Where the request has an answer already, nothing is said that could be taken for another's.
    head = head.replace(b"application/json", b"text/html")
    with connect(server.url) as connection:
        connection.sendall(head)
        answer = connection.recv(1 << 16)
        connection.sendall(body + b"\r\n" + INNER)
        assert [status for status, _ in answers_in(answer + read_all(connection))] == [415]


def test_answers_come_in_order_before_a_refusal(server: Running) -> None:
    slow = json.dumps({"inputs": ["some words of a text " * 20] * 50}).encode()
    request = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(slow), slow)
    health = LAST.replace(b"close", b"x")
    answers = exchange(server, request + health + b"nonsense\r\n\r\n" + INNER)
    assert [status for status, _ in answers] == [200, 200, 400]
    assert len(json.loads(answers[0][1])) == 50


def test_a_head_is_measured_exactly(model: SentenceTransformer) -> None:
    limits = Limits(head_bytes=10_000)
    start = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: "
    with running(model, limits) as server:
        for size, status in ((10_000, 200), (10_001, 431), (11_000, 431), (250_000, 431)):
            head = start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"
            assert len(head) == size
            for parts in ([head], [head[:5000], head[5000:]], [head[:-2], head[-2:]]):
                answers = exchange(server, *parts)
                assert [found for found, _ in answers] == [status]
        many = b"X: y\r\n" * 200
        assert exchange(server, start + b"x\r\n" + many + b"\r\n")[0][0] == 431


def test_who_waits_for_the_word_to_send(server: Running) -> None:
    """After another answer than 100, the server cannot know whether the body will follow."""
    length = b"Content-Length: %d\r\n\r\n" % len(INNER)
    refused = HEAD.replace(b"/json", b"/x") + b"Expect: 100-continue\r\n" + length
    for body in (b"", INNER):
        assert [found for found, _ in exchange(server, refused, body + LAST)] == [415]
    with connect(server.url) as connection:
        connection.sendall(HEAD + b"Expect: 100-Continue\r\n" + b"Content-Length: 20\r\n\r\n")
        wait_until(lambda: connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(BODY)
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")
    old = HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Expect: 100-continue\r\n"
    with connect(server.url) as connection:  # of which it has to be ignored
        connection.sendall(old + b"Content-Length: 20\r\n\r\n" + BODY)
        assert read_all(connection).startswith(b"HTTP/1.0 200 ".replace(b"1.0", b"1.1"))
