"""Nonsense, floods and slowness: the right status, the server lives on, and no text is repeated."""

from __future__ import annotations

import json
import logging
import select
import socket
import threading
import time

import httpx
import pytest

from bge_micro import SentenceTransformer
from bge_micro.server.limits import Limits

from .servers import PATIENCE, Running, running
from .test_hostile_clients import wait_until

SECRET = "xyzzy plugh"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def no_secrets_in_the_log(caplog: pytest.LogCaptureFixture, client: httpx.Client) -> None:
    caplog.set_level(logging.DEBUG, "bge_micro")
    yield
    assert client.post("/embed", json={"inputs": "still there"}).status_code == 200
    for record in caplog.records:
        if record.name.startswith("bge_micro"):
            assert SECRET not in str(record.__dict__)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"inputs": "xyzzy plugh"', 400),
        (b'{"inputs": "xyzzy plugh\xff"}', 400),
        (b"[" * 100_000, 400),
        (b'{"inputs":' * 100_000, 400),
        (b'{"inputs": ' + b"[" * 900 + b"]" * 900 + b"}", 422),
        (b'{"inputs": NaN}', 400),
        (b'{"inputs": "a", "dimensions": 1' + b"0" * 5000 + b"}", 422),
        (b'{"inputs": [1' + b"0" * 5000 + b"]}", 422),
        (b'{"inputs": "a", "dimensions": 1e400}', 400),
        (b'{"inputs": "a", "dimensions": -1}', 422),
        (b'{"inputs": "a", "dimensions": 1.5}', 422),
        (b'{"inputs": "a", "dimensions": true}', 422),
        (b'{"inputs": "a", "dimensions": "xyzzy plugh"}', 422),
        (b'{"inputs": "a", "truncation_direction": "xyzzy plugh"}', 422),
        (b'{"inputs": "a", "prompt_name": "xyzzy plugh"}', 422),
        (b'{"inputs": "a", "xyzzy plugh": 1}', 422),
        (b'{"inputs": "a", "normalize": "yes"}', 422),
        (b'{"inputs": null}', 422),
        (b'{"inputs": {"xyzzy plugh": 1}}', 422),
        (b'{"inputs": ["a", 1]}', 422),
        (b'{"inputs": ["a", null]}', 422),
        (b'{"inputs": [["xyzzy plugh"]]}', 422),
        (b'{"inputs": [[1, [2]]]}', 422),
        (b'{"inputs": [[1.5]]}', 422),
        (b'{"inputs": [[-1]]}', 422),
        (b'{"inputs": [[true]]}', 422),
        (b'{"inputs": [' + b"1," * 600 + b"1]}", 422),
        (b'{"inputs": []}', 422),
        (b'{"inputs": [null]}', 422),
        (b"[]", 422),
        (b'"xyzzy plugh"', 422),
        (b"null", 422),
        (b"{}", 422),
    ],
)
def test_bodies(client: httpx.Client, body: bytes, status: int) -> None:
    answer = client.post("/embed", content=body, headers=JSON)
    # Python reads a number of thousands of digits as none at all.
    assert answer.status_code in ({400, status} if b"0" * 5000 in body else {status})
    assert answer.json().keys() == {"error", "error_type"}
    assert SECRET not in answer.text


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_json_that_is_not_called_so(client: httpx.Client, content_type: str | None) -> None:
    """What `curl -d` sends is read; what a page can make a browser send unasked is not."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    good, bad = b'{"input": "a"}', b"input=a"
    assert client.post("/v1/embeddings", content=good, headers=headers).status_code == 200
    assert client.post("/v1/embeddings", content=bad, headers=headers).status_code == 400
    headers["Origin"] = "https://page.example"
    answer = client.post("/v1/embeddings", content=good, headers=headers)
    assert answer.status_code == 415
    assert "-H 'Content-Type: application/json'" in answer.json()["error"]["message"]


def test_content_types(client: httpx.Client) -> None:
    for other in ("application/jsonx", "multipart/form-data", "text/html"):
        headers = {"Content-Type": other}
        answer = client.post("/v1/embeddings", content=b'{"input": "a"}', headers=headers)
        assert answer.status_code == 415
        assert answer.json()["error"]["type"] == "invalid_request_error"
    compressed = {**JSON, "Content-Encoding": "gzip"}
    assert client.post("/embed", content=b"x", headers=compressed).status_code == 415
    charset = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post("/embed", content=b'{"inputs": "a"}', headers=charset).status_code == 200


def test_routes_and_methods(client: httpx.Client) -> None:
    for path in (f"/{SECRET}", "/metrics/", "/v1", "/v1/embeddings/x", "/%00", "/..%2f..%2fetc"):
        answer = client.post(path, json={"inputs": "a"})
        assert answer.status_code == 404
        assert SECRET not in answer.text
    for method, path, allowed in (
        ("GET", "/embed", "POST"),
        ("DELETE", "/v1/embeddings", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("PUT", "/", "GET, HEAD, POST"),
        ("OPTIONS", "/embed", "POST"),
        ("QUERY", "/embed", "POST"),
    ):
        answer = client.request(method, path)
        assert answer.status_code == 405
        assert sorted(answer.headers["Allow"].split(", ")) == allowed.split(", ")
    assert client.get("/v1/nothing").json()["error"]["param"] is None


def test_sizes(model: SentenceTransformer) -> None:
    limits = Limits(body_bytes=2000, texts=3)
    with running(model, limits) as server, server.client() as client:
        assert client.post("/embed", json={"inputs": ["a"] * 3}).status_code == 200
        too_many = client.post("/embed", json={"inputs": ["a"] * 4})
        assert too_many.status_code == 422
        assert "has 4 texts, at most 3" in too_many.json()["error"]
        large = json.dumps({"inputs": "a" * 3000}).encode()
        assert client.post("/embed", content=large, headers=JSON).status_code == 413

        def chunks() -> object:
            for start in range(0, len(large), 100):
                yield large[start : start + 100]

        assert client.post("/v1/embeddings", content=chunks(), headers=JSON).status_code == 413
        assert client.post("/embed", json={"inputs": "a"}).status_code == 200


def test_bodies_together_are_bounded(model: SentenceTransformer) -> None:
    limits = Limits(body_bytes=10_000, small_body_bytes=100)
    head = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with running(model, limits) as server:
        port = int(server.url.rpartition(":")[2])
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(17)]
        for connection in slow:
            connection.sendall(head + b"Content-Length: 10000\r\n\r\n" + b" " * 9900)
        refused, _, _ = select.select(slow, [], [], PATIENCE)
        assert b"503" in refused[0].recv(15)
        for connection in slow:
            connection.close()
        with server.client() as client:
            deadline = time.monotonic() + PATIENCE
            while client.post("/embed", json={"inputs": "a" * 9000}).status_code == 503:
                assert time.monotonic() < deadline


def test_slow_bodies(model: SentenceTransformer) -> None:
    with running(model, Limits(body_seconds=0.2)) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            connection.sendall(
                b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b'Content-Length: 100\r\n\r\n{"inputs"'
            )
            answer = b""
            while block := connection.recv(4096):  # and then it is closed
                answer += block
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_clients_that_leave(server: Running, client: httpx.Client) -> None:
    port = int(server.url.rpartition(":")[2])
    head = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    for body in (b"", b'{"inputs": "a"', b'{"inputs": "a"}' + b" " * 85):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head + b"Content-Length: 100\r\n\r\n" + body)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_a_failing_engine_says_so(
    server: Running, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> object:
        raise MemoryError(SECRET)

    monkeypatch.setattr(server.service.transformer, "run", fail)
    answer = client.post("/v1/embeddings", json={"input": SECRET})
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert SECRET not in answer.text
    monkeypatch.undo()


def test_a_failing_handler_says_so(
    server: Running, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> object:
        raise KeyError(SECRET)

    monkeypatch.setattr("bge_micro.server.service.write_tokens", fail)
    answer = client.post("/tokenize", json={"inputs": SECRET})
    assert answer.status_code == 500
    assert SECRET not in answer.text


def test_a_call_that_does_not_end_is_told(
    model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def hang(*arguments: object) -> object:
        ended.wait(PATIENCE)
        raise InterruptedError

    with running(model, Limits(stuck_seconds=0.3)) as server, server.client() as client:
        monkeypatch.setattr(server.service.transformer, "run", hang)
        answer = client.post("/v1/embeddings", json={"input": "a"})
        assert answer.status_code == 503
        assert answer.json()["error"]["type"] == "server_error"
        assert client.get("/health").status_code == 503
        assert client.post("/embed", json={"inputs": "a"}).status_code == 503
        ended.set()
        monkeypatch.undo()
        wait_until(lambda: client.get("/health").status_code == 200)
        wait_until(lambda: client.post("/embed", json={"inputs": "a"}).status_code == 200)
