"""Servers on this machine, each a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Side:
    """A running server."""

    port: int
    pid: int


@contextmanager
def started(command: Sequence[str], port: int, packages: Path | None = None) -> Iterator[Side]:
    """Start a server, wait until it answers, and end it.

    Args:
        command: What Python is to run.
        port: Where it listens.
        packages: A folder of packages that come before the installed ones.
    """
    # The best setting for the peer, whose threads tokenize; bge-micro sets this by itself.
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    if packages is not None:
        environment["PYTHONPATH"] = str(packages)
    with subprocess.Popen(
        [sys.executable, *command], stderr=subprocess.DEVNULL, env=environment
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and process.poll() is None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            else:
                raise SystemExit(f"{' '.join(command)} does not answer")
            yield Side(port, process.pid)
        finally:
            process.terminate()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, which a busy machine hardly changes (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
