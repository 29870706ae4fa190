"""The other end of `bench.worker`: starts a side's process and sends it requests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.files import ModelFiles
from bench.sides import SideSpec
from bench.workloads import Workload

REPOSITORY = Path(__file__).resolve().parents[1]


class SideError(Exception):
    """A side cannot take part; the message gives the reason."""


class RemoteSide:
    """A side in its own process, on the CPUs given."""

    def __init__(self, spec: SideSpec, files: ModelFiles, cpus: list[int]) -> None:
        """Start the process and load the side.

        Raises:
            SideError: It could not be loaded.
        """
        self.spec = spec
        parent, child = socket.socketpair()
        with child:
            self._process = subprocess.Popen(
                pinned(
                    cpus, spec.python or sys.executable, "-m", "bench.worker", str(child.fileno())
                ),
                env=environment(len(cpus)) | spec.environ,
                pass_fds=[child.fileno()],
                cwd=REPOSITORY,
            )
        self._connection: Connection[Any, Any] = Connection(parent.detach())
        self.versions: dict[str, str] = {}
        try:
            self.versions = self._ask("load", spec, files, len(cpus))
        except SideError:
            self.close()
            raise

    def vectors(self, texts: list[str]) -> Any:
        """Return the vectors of some texts."""
        return self._ask("vectors", texts)

    def best_batch_size(self, workload: Workload) -> int:
        """Return the side's best batch size for a workload."""
        return int(self._ask("best_batch_size", workload))

    def run(self, workload: Workload, batch_size: int) -> float:
        """Return the seconds of one run."""
        return float(self._ask("run", workload, batch_size))

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.wait(timeout=60)

    def __enter__(self) -> RemoteSide:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process."""
        self.close()

    def _ask(self, name: str, *arguments: Any) -> Any:
        try:
            self._connection.send((name, arguments))
            good, answer = self._connection.recv()
        except (EOFError, OSError) as error:
            code = self._process.wait(timeout=60)
            raise SideError(f"its process ended with exit code {code}") from error
        if not good:
            raise SideError(answer)
        return answer


def pinned(cpus: list[int], *command: str) -> list[str]:
    """Return a command that runs on these CPUs only, from its first instruction."""
    if sys.platform != "linux":
        return list(command)
    return ["taskset", "-c", ",".join(map(str, cpus)), *command]


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a side's process: the same number of threads for each."""
    count = str(threads)
    return os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "HF_HUB_OFFLINE": "1",
    }
