"""The process of one side: `python -m bench.worker FD` answers requests on a socket.

Each side has its own process, because the peers' OpenMP and other thread pools would disturb each
other in one, and because a build to compare with needs another interpreter. Times are measured
here, around the call only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from bench.files import ModelFiles
from bench.sides import SideSpec
from bench.workloads import Workload, best_batch_size, run


class Worker:
    """The requests that a worker answers; `bench.driver.RemoteSide` sends them."""

    def load(self, spec: SideSpec, files: ModelFiles, threads: int) -> dict[str, str]:
        """Load the side; returns the versions of its packages."""
        self.side = spec.load(files, threads)
        return self.side.versions

    def vectors(self, texts: Sequence[str]) -> Any:
        """Return the vectors of some texts."""
        return self.side.encode(texts, self.side.batch_sizes[-1])

    def best_batch_size(self, workload: Workload) -> int:
        """Find the side's batch size for a workload."""
        return best_batch_size(self.side, workload)

    def run(self, workload: Workload, batch_size: int) -> float:
        """Return the seconds of one run."""
        return run(self.side, workload, batch_size)


def main() -> None:
    """Answer with (True, result) or (False, error) until the other end closes."""
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    os.dup2(2, 1)  # for anything that a library prints
    worker = Worker()
    while True:
        try:
            name, arguments = connection.recv()
        except EOFError:
            return
        answer: Callable[..., Any] = getattr(worker, name)
        try:
            connection.send((True, answer(*arguments)))
        except Exception as error:
            connection.send((False, f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    main()
