"""A server that loads and uses the model before it forks its workers: gunicorn --preload."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from bge_micro import SentenceTransformer

pytest.importorskip("gunicorn", reason="needs gunicorn: pip install '.[test]'")

APPLICATION = """
    from urllib.parse import unquote
    from bge_micro import SentenceTransformer

    model = SentenceTransformer(threads=2)
    model.encode(["work that starts the pool's threads"] * 40)

    def application(environ, start_response):
        text = unquote(environ["QUERY_STRING"])
        vectors = model.encode([text] * 40, threads=2)
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return [str(__import__("os").getpid()).encode() + b" " + vectors[0].tobytes()]
"""


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=300)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(300)
        self.sock.connect(str(self._path))


def ask(path: Path) -> tuple[int, bytes]:
    """Return the worker's process id, and the vector."""
    connection = UnixConnection(path)
    connection.request("GET", "/?some%20text")
    body = connection.getresponse().read()
    connection.close()
    process, vector = body.split(b" ", 1)
    return int(process), vector


def test_preload(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(textwrap.dedent(APPLICATION))
    path = tmp_path / "socket"
    server = subprocess.Popen(
        [
            *(sys.executable, "-W", "ignore", "-m", "gunicorn.app.wsgiapp", "app:application"),
            *("--preload", "--workers", "2", "--bind", f"unix:{path}", "--timeout", "60"),
            # With so few requests a worker, new ones are forked all the time.
            *("--max-requests", "3", "--chdir", str(tmp_path), "--log-level", "error"),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
    )
    try:
        end = time.monotonic() + 300
        while not path.exists() and server.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        assert path.exists(), server.communicate()[1]
        answers = []
        while len(answers) < 15 and time.monotonic() < end:
            try:
                answers.append(ask(path))
            except (ConnectionError, http.client.HTTPException):
                time.sleep(0.05)  # a worker that has served its three is on its way out
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.communicate(timeout=300)
        finally:
            server.kill()
    assert len(answers) == 15
    assert len({process for process, _ in answers}) >= 4
    expected = SentenceTransformer().encode("some text").tobytes()
    assert {vector for _, vector in answers} == {expected}
