"""Clients that leave, and clients that only stop sending."""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event, Thread
from typing import Any

import httpx
import pytest

from bge_micro import Encoded, Plan, SentenceTransformer
from bge_micro.server.limits import Limits

from .servers import PATIENCE, Running, Start, running
from .test_framing import BODY, HEAD, answers_in
from .test_hostile_clients import connect, read_all, wait_until

LONG = ["some words of a long text " * 60] * 64  # of 360 tokens each


def request_for(texts: list[str]) -> bytes:
    body = json.dumps({"inputs": texts, "truncate": True}).encode()
    head = HEAD.replace(b"Host: a", b"Host: localhost")
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def is_idle(server: Running) -> bool:
    return server.service.engine.waiting_texts == 0


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_who_stops_sending_gets_the_answer(server: Running, version: bytes) -> None:
    request = HEAD.replace(b"1.1", version) + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    with connect(server.url) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        assert [status for status, _ in answers_in(read_all(connection))] == [200]
    with connect(server.url) as connection:  # which comes even if it is long in coming
        connection.sendall(request_for(["a cat"] * 2000) + request)
        connection.shutdown(socket.SHUT_WR)
        assert [status for status, _ in answers_in(read_all(connection))] == [200, 200]


def test_an_interim_answer_comes_before_a_late_one(model: SentenceTransformer) -> None:
    with running(model, Limits(left_seconds=0.01)) as server, connect(server.url) as connection:
        connection.sendall(request_for(LONG))
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 102 Processing\r\n\r\n")
    assert [status for status, _ in answers_in(answer)] == [200]


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_what_nobody_waits_for_is_dropped(model: SentenceTransformer, version: bytes) -> None:
    """What is begun as well as what waits."""
    with running(model, Limits(left_seconds=0.1)) as server:
        for _ in range(6):
            with connect(server.url) as connection:
                connection.sendall(request_for(LONG * 10).replace(b"HTTP/1.1", b"HTTP/" + version))
                wait_until(lambda: not is_idle(server))
        wait_until(lambda: is_idle(server))
        encoded = server.service.metrics.text().partition(b"bge_micro_batch_texts_sum ")[2]
        print(f"{float(encoded.split()[0])} texts encoded")
        assert float(encoded.split()[0]) < 6 * 10 * 64 / 2


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sigterm_does_not_wait_for_who_left(start: Start) -> None:
    import resource

    server = start()
    for _ in range(8):
        with connect(server.url) as connection:
            connection.sendall(request_for(LONG * 10))
    time.sleep(0.5)  # it works on them
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    print(f"{seconds:.1f} s of CPU time in all")  # all of them would take more than a minute
    assert seconds < 15


def test_who_waits_at_the_end_is_told_so(
    model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shutdown that takes too long answers what is left, in the form of each interface."""
    monkeypatch.setattr("bge_micro.server.run._SHUTDOWN_SECONDS", 1)
    over = Event()
    bodies = {
        "/v1/embeddings": {"input": "a"},
        "/embed": {"inputs": "a"},
        "/similarity": {"inputs": {"source_sentence": "a", "sentences": ["b"]}},
        "/api/embed": {"model": "bge-micro-v2", "input": "a"},
    }
    with ThreadPoolExecutor(len(bodies)) as pool:
        with running(model, Limits(stuck_seconds=60)) as server:
            monkeypatch.setattr(
                server.service.transformer, "run", lambda *rows: over.wait(PATIENCE)
            )

            def ask(path: str) -> httpx.Response:
                with server.client() as client:
                    return client.post(path, json=bodies[path])

            asked = {path: pool.submit(ask, path) for path in bodies}
            wait_until(lambda: server.service.engine.waiting_texts == 5)
            # The engine's thread goes on when all have their answers: the shutdown waits for it.
            Thread(target=lambda: (wait(asked.values()), over.set())).start()
        answers = {path: future.result() for path, future in asked.items()}
    assert {answer.status_code for answer in answers.values()} == {503}
    message = "the server is about to stop"
    assert answers["/v1/embeddings"].json()["error"]["message"] == message
    assert answers["/v1/embeddings"].json()["error"]["type"] == "server_error"
    for path in ("/embed", "/similarity"):
        assert answers[path].json() == {"error": message, "error_type": "Unhealthy"}
    assert answers["/api/embed"].json() == {"error": message}


def test_small_requests_have_room_beside_large_ones(
    model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue full of large requests refuses large ones, not small ones."""
    large = {"inputs": LONG, "truncate": True}
    over = Event()

    def held(rows: Sequence[Any], plan: Plan) -> Encoded:
        if sum(map(len, rows)) > 32 * 3:
            assert over.wait(PATIENCE)
        return model.run(rows, plan)

    with (
        running(model, Limits(queue_texts=120)) as server,
        server.client() as client,
        ThreadPoolExecutor(1) as pool,
    ):
        monkeypatch.setattr(server.service.transformer, "run", held)
        first = pool.submit(client.post, "/embed", json=large)
        wait_until(lambda: not is_idle(server))
        assert client.post("/embed", json=large).status_code == 429
        small = [client.post("/embed", json={"inputs": ["a"] * 32}) for _ in range(10)]
        assert [answer.status_code for answer in small] == [200] * 10
        assert not first.done()
        over.set()
        assert first.result().status_code == 200
