"""Who may ask: names in the Host header, origins of pages in browsers, keys in files."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from bge_micro import SentenceTransformer
from bge_micro.server.access import Admission, hosts_for

from .servers import PATIENCE, Start, running
from .test_process import run

ORIGIN = "https://app.example"


@pytest.mark.parametrize(
    ("address", "allowed", "host", "status"),
    [
        ("127.0.0.1", [], "localhost:8080", 200),
        ("127.0.0.1", [], "LOCALHOST", 200),
        ("127.0.0.1", [], "127.0.0.1:8080", 200),
        ("127.0.0.1", [], "[::1]:8080", 200),
        ("127.0.0.1", [], "10.1.2.3", 200),  # no name that somebody could point here
        ("127.0.0.1", [], "evil.example", 421),
        ("127.0.0.1", [], "evil.example:8080", 421),
        ("127.0.0.1", [], "localhost.evil.example", 421),
        ("127.0.0.1", [], "127.0.0.1.evil.example", 421),
        ("127.0.0.1", [], "127.1", 421),
        ("127.0.0.1", [], "", 200),
        ("::1", [], "evil.example", 421),
        ("localhost", [], "evil.example", 421),
        ("127.0.0.1", ["Good.example"], "good.example:80", 200),
        ("127.0.0.1", ["good.example"], "localhost", 200),
        ("127.0.0.1", ["good.example"], "evil.example", 421),
        ("0.0.0.0", [], "any.example", 200),
        ("0.0.0.0", ["good.example"], "any.example", 421),
        ("0.0.0.0", ["good.example"], "good.example", 200),
    ],
)
def test_names_in_the_host_header(
    model: SentenceTransformer, address: str, allowed: list[str], host: str, status: int
) -> None:
    admission = Admission(hosts=hosts_for(address, allowed))
    with running(model, admission=admission) as server, server.client() as client:
        for path in ("/health", "/", "/v1/models"):
            answer = client.get(path, headers={"Host": host})
            assert answer.status_code == status
            if status == 421:
                assert "--allowed-host" in answer.text
                assert ("param" in answer.text) == path.startswith("/v1/")  # each in its own form


def test_pages_of_other_origins(model: SentenceTransformer) -> None:
    ask = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    ask["Access-Control-Request-Headers"] = "authorization,content-type,x-stainless-os"
    allow = "access-control-allow-origin"
    with running(model) as server, server.client() as client:
        assert allow not in client.options("/v1/embeddings", headers=ask).headers
        assert allow not in client.get("/health", headers={"Origin": ORIGIN}).headers
    with (
        running(model, admission=Admission("k", origins=[ORIGIN])) as server,
        server.client() as client,
    ):
        answer = client.options("/v1/embeddings", headers=ask)
        assert answer.status_code == 200  # before there is a key
        assert answer.headers[allow] == ORIGIN
        assert "x-stainless-os" in answer.headers["access-control-allow-headers"]
        for key, status in (("k", 200), ("wrong", 401)):
            headers = {"Origin": ORIGIN, "Authorization": f"Bearer {key}"}
            answer = client.post("/v1/embeddings", json={"input": "a"}, headers=headers)
            assert (answer.status_code, answer.headers[allow]) == (status, ORIGIN)
        other = {**ask, "Origin": "https://evil.example"}
        assert allow not in client.options("/v1/embeddings", headers=other).headers
        assert allow not in client.get("/health", headers={"Origin": other["Origin"]}).headers


def test_options_of_the_command_line(start: Start) -> None:
    server = start("--allowed-host", "good.example", "--cors-origin", ORIGIN)
    for host, status in (("good.example", 200), ("localhost", 200), ("evil.example", 421)):
        headers = {"Host": host, "Origin": ORIGIN}
        answer = httpx.get(f"{server.url}info", headers=headers, timeout=PATIENCE)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b" \n", b"\xef\xbb\xbfkey\n", b"one\ntwo\n", b"two words"),
        *(b"k\xc3\xa9y", b"k\xffy", b"a\0b"),
    ],
)
def test_keys_that_no_client_could_send(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    result = run("--api-key-file", str(path))
    assert result.returncode == 2
    assert f"{path}: the API key " in result.stderr
    assert "two" not in result.stderr.replace(str(path), "")


def test_names_of_any_letters(start: Start) -> None:
    name = 'my "best" model \\ é'
    server = start("--model-name", name)
    answer = httpx.post(f"{server.url}v1/embeddings", json={"input": "a"}, timeout=PATIENCE)
    assert answer.json()["model"] == name
    assert httpx.get(f"{server.url}metrics", timeout=PATIENCE).status_code == 200
