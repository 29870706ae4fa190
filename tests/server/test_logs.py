"""Log lines never hold the server up, and nothing that it refuses goes unseen."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from .servers import PATIENCE, Running
from .test_framing import exchange
from .test_hostile_clients import answers

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX pipes")


@posix
def test_nobody_reads_the_log() -> None:
    command = [sys.executable, "-m", "bge_micro", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        url = json.loads(process.stderr.readline())["url"]
        with httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) as client:
            for _ in range(1500):  # a pipe has room for some 400 lines
                assert client.get("/health").status_code == 200
            lines: list[bytes] = []
            reader = threading.Thread(target=lambda: lines.extend(process.stderr))  # type: ignore[arg-type]
            reader.start()
            while not any(b"dropped" in line for line in lines):
                assert client.get("/health").status_code == 200
        process.terminate()
        reader.join(PATIENCE)
        assert process.wait(PATIENCE) == 0
    found = [json.loads(line) for line in lines]
    dropped = sum(line["lines"] for line in found if line["event"] == "log lines dropped")
    assert 500 < dropped < 1500
    requests = sum(line["event"] == "request" for line in found)
    with_first = 1500 + 1
    assert requests + dropped >= with_first - 1
    assert found[-1]["event"] == "stopped"


@posix
def test_a_line_larger_than_a_pipe(tmp_path: Path) -> None:
    from bge_micro.server.logs import PatientHandler

    reading, writing = os.pipe()
    handler = PatientHandler(writing)
    record = logging.makeLogRecord({"msg": "x" * 300_000})
    small = logging.makeLogRecord({"msg": "small"})
    handler.handle(record)
    for _ in range(7):
        handler.handle(small)
    data = b""
    for _ in range(5):  # a part fits each time, and is written when there is something to say
        data += os.read(reading, 1 << 20)
        handler.handle(small)
    os.close(writing)
    while block := os.read(reading, 1 << 20):
        data += block
    lines = data.decode().splitlines()
    assert lines[0] == "x" * 300_000
    assert lines[1].startswith("log lines dropped")
    os.close(reading)
    with (
        open("/dev/full", "wb", buffering=0)
        if Path("/dev/full").exists()
        else open(tmp_path / "log", "wb") as full
    ):
        handler = PatientHandler(full.fileno())
        handler.handle(small)
        handler.handle(small)


def test_refusals_are_logged_and_counted(
    server: Running, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bge_micro")

    def count(status: int) -> float:
        name = f'bge_micro_refused_connections_total{{status="{status}"}}'
        text = client.get("/metrics").text
        return float(text.partition(name)[2].split()[0]) if name in text else 0

    for sent, status in (
        (b"nonsense\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ):
        before = count(status)
        assert [found for found, _ in exchange(server, sent)] == [status]
        assert count(status) == before + 1
        refused = [r.__dict__["fields"] for r in caplog.records if r.getMessage() == "refused"]
        assert refused[-1]["status"] == status
    assert answers(server.url)
