"""`bge-micro serve` as a process: options, log, signals, and no accepted request lost."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from family_models import KINDS, family_weights, head_weights, write_reranker_folder

from .servers import PATIENCE, Start

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
COMMAND = [sys.executable, "-m", "bge_micro", "serve"]
SECRET = "xyzzy plugh"


@posix
def test_shutdown_answers_every_accepted_request(start: Start) -> None:
    server = start("--threads", "2")
    texts = [f"{SECRET} {number} " + "and on " * 200 for number in range(5)]
    clients = [httpx.Client(timeout=PATIENCE, trust_env=False) for _ in range(24)]
    for client in clients:  # connected, so that the requests come at once
        assert client.get(f"{server.url}health").status_code == 200

    def ask(client: httpx.Client) -> int:
        answer = client.post(f"{server.url}embed", json={"inputs": texts})
        return len(answer.json()) if answer.status_code == 200 else answer.status_code

    with ThreadPoolExecutor(len(clients)) as pool:
        answers = [pool.submit(ask, client) for client in clients]
        with httpx.Client(timeout=PATIENCE, trust_env=False) as watcher:
            answered, waiting = 0, 0.0
            while 5 * answered + waiting < 5 * 24:  # until all of them are in
                answered = sum(answer.done() for answer in answers)
                metrics = watcher.get(f"{server.url}metrics").text
                waiting = float(metrics.partition("\nbge_micro_queue_texts ")[2].split()[0])
            assert waiting
        server.process.send_signal(signal.SIGTERM)
        assert [answer.result() for answer in answers] == [5] * 24
    for client in clients:
        client.close()
    assert server.wait() == 0
    assert server.lines[-1]["event"] == "stopped"
    done = [line for line in server.lines if line.get("route") == "/embed"]
    assert len(done) == 24
    assert {"time", "level", "event", "method", "status", "ms", "texts", "tokens"} <= done[0].keys()
    assert SECRET not in str(server.lines)


@posix
def test_interrupt(start: Start) -> None:
    server = start("--log-level", "info")
    server.process.send_signal(signal.SIGINT)
    assert server.wait() == 130


def first_lines(argv: list[str], seconds: float) -> bytes:
    """Return what a server writes to a terminal, which its standard error is, in this time."""
    terminal, end = os.openpty()
    with subprocess.Popen([*COMMAND, "--port", "0", *argv], stderr=end) as process:
        os.close(end)
        try:
            return os.read(terminal, 4096) if select.select([terminal], [], [], seconds)[0] else b""
        finally:
            process.kill()
            os.close(terminal)


@posix
@pytest.mark.parametrize("level", ["debug", "info", "warning"])
def test_a_terminal_is_always_told_where_the_server_listens(level: str) -> None:
    told = json.loads(first_lines(["--log-level", level], PATIENCE).splitlines()[0])
    assert told["event"] == "listening"
    assert told["url"].startswith("http://127.0.0.1:")


@posix
def test_a_log_of_warnings_has_only_those(tmp_path: Path) -> None:
    """In a file nobody waits for a line."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path / "log"
    argv = [*COMMAND, "--port", str(port), "--log-level", "warning"]
    with log.open("wb") as file, subprocess.Popen(argv, stderr=file) as process:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).is_success
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
    assert log.read_bytes() == b""


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces of process ids")
def test_sigterm_to_a_container_that_starts() -> None:
    """A first process sees SIGTERM only if it has a handler; it should have one from the start."""
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no namespaces may be made here")
    with subprocess.Popen([*unshare, *COMMAND, "--port", "0"], stderr=subprocess.PIPE) as outer:
        try:
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
            while not (child := children.read_text().strip()):
                time.sleep(0.001)
            while not handled_signals(child) >> (signal.SIGTERM - 1) & 1:
                time.sleep(0.001)
            assert "numpy" not in Path(f"/proc/{child}/maps").read_text()  # nor the model
            os.kill(int(child), signal.SIGTERM)
            assert outer.wait(PATIENCE) == 143
        finally:
            outer.kill()


def handled_signals(process: str) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("SigCgt:")[2].split()[0], 16)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6, or not with IPv4")
def test_every_address(start: Start) -> None:
    server = start("--host", "::")
    port = server.url.rstrip("/").rpartition(":")[2]
    for host in ("127.0.0.1", "[::1]"):
        answer = httpx.get(f"http://{host}:{port}/health", timeout=PATIENCE, trust_env=False)
        assert answer.status_code == 200


def test_options(start: Start, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("from-file\n")
    argv = ["--model-name", "mine", "--max-tokens", "16", "--max-texts", "2", "--auto-truncate"]
    limits = ["--max-body-bytes", "1000", "--max-queue-texts", "5", "--compute-type", "float32"]
    server = start(*argv, *limits, "--api-key-file", str(key), BGE_MICRO_API_KEY="ignored")
    headers = {"Authorization": "Bearer from-file"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=PATIENCE) as client:
        info = client.get("/info").json()
        assert info["model_id"] == "mine"
        assert info["max_input_length"] == 16
        assert info["max_client_batch_size"] == 2
        assert info["max_body_bytes"] == 1000
        assert info["max_queue_texts"] == 5
        assert info["model_dtype"] == "float32"
        long = client.post("/v1/embeddings", json={"input": "word " * 100})
        assert long.json()["usage"]["total_tokens"] == 16
    assert httpx.get(f"{server.url}info", timeout=PATIENCE).status_code == 401
    assert server.url.startswith("http://127.0.0.1:")


def test_key_from_the_environment(start: Start) -> None:
    server = start(BGE_MICRO_API_KEY="k")
    assert httpx.get(f"{server.url}info", timeout=PATIENCE).status_code == 401


def run(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *argv],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_errors_of_the_command_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run("--port", port)
        assert result.returncode == 1
        assert result.stderr.startswith(f"bge-micro: error: 127.0.0.1:{port}: ")
    assert run("--port", "99999").returncode == 2
    empty = run(BGE_MICRO_API_KEY=" ")
    assert (empty.returncode, "the API key is empty" in empty.stderr) == (2, True)
    assert run("--api-key-file", "/no/such/file").returncode == 1


def test_without_the_extra(tmp_path: Path) -> None:
    (tmp_path / "starlette.py").write_text("raise ImportError('no', name='starlette')")
    result = run(PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr == (
        "bge-micro: error: serve needs starlette: pip install 'bge-micro[server]'\n"
    )


@pytest.mark.slow
def test_schemathesis_finds_nothing(start: Start, tmp_path: Path) -> None:
    pytest.importorskip(
        "schemathesis",
        reason="schemathesis is missing: pip install -c constraints/server.txt schemathesis",
    )
    tool = shutil.which("schemathesis", path=Path(sys.executable).parent) or "schemathesis"
    kind = KINDS["bert"]
    write_reranker_folder(tmp_path, kind, family_weights(kind), head_weights(kind, 1))
    server = start("--reranker", str(tmp_path))
    # That token ids end with a special token is nothing that JSON Schema can say, so it would be
    # told of refusals of its random ids; test_clients.py has ids that are accepted.
    description = httpx.get(f"{server.url}openapi.json", timeout=PATIENCE).json()
    for inputs in (
        description["components"]["schemas"]["EmbeddingsRequest"]["properties"]["input"],
        description["components"]["schemas"]["EmbedRequest"]["properties"]["inputs"],
    ):
        inputs["anyOf"] = [way for way in inputs["anyOf"] if "TokenId" not in str(way)]
    (tmp_path / "openapi.json").write_text(json.dumps(description), encoding="utf-8")
    where = ["openapi.json", "--url", server.url]
    result = subprocess.run(
        [tool, "run", *where, "--checks", "all", "--max-examples", "40"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert "No issues found" in result.stdout
