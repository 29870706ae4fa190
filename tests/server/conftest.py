"""Fixtures: the bundled model, a server in a thread, and servers as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bge_micro import Plan, SentenceTransformer

if TYPE_CHECKING:
    import httpx

    from .engines import Gate
    from .servers import Running, ServerProcess, Start

# What these tests need beyond the package; test_needs.py names what is missing.
NEEDED = (
    *("starlette", "uvicorn", "httptools", "prometheus_client", "orjson"),
    *("httpx", "openai", "ollama", "huggingface_hub"),
)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the tests that could not even be imported."""
    wanted = collection_path.name in (Path(__file__).parent.name, "test_needs.py")
    return None if wanted or all(map(find_spec, NEEDED)) else True


@pytest.fixture(scope="session")
def model() -> SentenceTransformer:
    return SentenceTransformer(threads=2)


@pytest.fixture(scope="session")
def server(model: SentenceTransformer) -> Iterator[Running]:
    from .servers import running

    with running(model) as server:
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts the command and waits until it listens."""
    from .servers import ServerProcess

    started: list[ServerProcess] = []

    def start_process(*argv: str, **environment: str) -> ServerProcess:
        process = subprocess.Popen(
            [sys.executable, "-m", "bge_micro", "serve", "--port", "0", *argv],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        assert process.stderr is not None
        lines = [json.loads(process.stderr.readline())]
        stream = process.stderr

        def read() -> None:
            lines.extend(json.loads(line) for line in stream)

        reader = threading.Thread(target=read)
        reader.start()
        started.append(ServerProcess(process, lines, reader))
        return started[-1]

    yield start_process
    for server in started:
        server.process.kill()
        server.wait()
        assert server.process.stderr is not None
        server.process.stderr.close()


@pytest.fixture(scope="module")
def plan(model: SentenceTransformer) -> Plan:
    return model.plan(normalize_embeddings=True)


@pytest.fixture
def gate(model: SentenceTransformer) -> Gate:
    from .engines import Gate

    return Gate(model)
