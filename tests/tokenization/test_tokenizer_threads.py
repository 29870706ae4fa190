"""One tokenizer in many threads and processes; it starts no thread unless asked to."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bge_micro.tokenization import Tokenizer
from patience import PATIENCE

BATCH = [
    f"Text {i} has a few {'wörds' if i % 2 else 'words'}, and then some more of them. " * (i % 7)
    for i in range(200)
]

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="threads are counted in /proc"
)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


def run(program: str, tokenizer_file: Path, **environment: str) -> str:
    """Run `program` in a new process, whose thread pool is unused."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TOKENIZERS_", "RAYON_"))}
    done = subprocess.run(
        # Python 3.12 warns about the fork that is tested here.
        [sys.executable, "-W", "ignore", "-c", PREAMBLE + program, str(tokenizer_file)],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


PREAMBLE = """
import os, sys
from bge_micro.tokenization import Tokenizer

tokenizer = Tokenizer.from_file(sys.argv[1])
# Not ASCII: the core reads that, without threads.
batch = ["Some wörds to fill the batch. " * 20] * 100

def threads():
    return len(os.listdir("/proc/self/task"))

before = threads() if os.path.exists("/proc/self/task") else 0
"""


def test_eight_threads_share_one_tokenizer(tokenizer: Tokenizer) -> None:
    limits = [4, 16, 64, 512]
    expected = {limit: tokenizer.ragged(BATCH, limit) for limit in limits}

    def work(number: int) -> bool:
        equal = []
        for turn in range(8):
            limit = limits[(number + turn) % len(limits)]
            batch = tokenizer.ragged(BATCH, limit, threads=1 + 63 * (turn % 2))
            equal.append(np.array_equal(batch.ids, expected[limit].ids))
            equal.append(np.array_equal(batch.truncated, expected[limit].truncated))
        return all(equal)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


@needs_proc
def test_one_thread_starts_no_other(tokenizer_file: Path) -> None:
    program = """
tokenizer.ragged(["öne text"], 512)
tokenizer.ragged(batch, 512)
tokenizer.ragged(batch, 4)
tokenizer.token_count("many words " * 10_000)
print(threads() - before)
"""
    assert run(program, tokenizer_file) == "0"
    assert run(program, tokenizer_file, TOKENIZERS_PARALLELISM="true") == "0"


@needs_proc
def test_little_work_starts_no_thread(tokenizer_file: Path) -> None:
    program = """
tokenizer.ragged(["a shört text"] * 8, 512, threads=64)
tokenizer.ragged(["one löng text " * 2000], 512, threads=64)
print(threads() - before)
"""
    assert run(program, tokenizer_file) == "0"


@needs_proc
def test_no_parallelism_in_the_environment_starts_no_thread(tokenizer_file: Path) -> None:
    program = "tokenizer.ragged(batch, 512, threads=64); print(threads() - before)"
    for value in ["false", "OFF", ""]:
        assert run(program, tokenizer_file, TOKENIZERS_PARALLELISM=value) == "0"


@needs_proc
def test_the_pool_serves_whoever_may_use_all_of_it(tokenizer_file: Path) -> None:
    program = """
tokenizer.ragged(batch, 512, threads=2)
print(threads() - before, end=" ")
tokenizer.ragged(batch, 512, threads=3)
print(threads() - before)
"""
    assert run(program, tokenizer_file, RAYON_NUM_THREADS="3") == "0 3"


@needs_fork
@pytest.mark.parametrize("parallelism", [None, "true", "false"])
def test_a_forked_child_tokenizes_after_its_parent_did(
    tokenizer_file: Path, parallelism: str | None
) -> None:
    program = """
import signal
expected = tokenizer.ragged(batch, 512, threads=64).ids
child = os.fork()
if child == 0:
    signal.alarm(30)
    many = tokenizer.ragged(batch, 512, threads=64).ids
    one = tokenizer.ragged(batch[:1], 512).ids
    right = (many == expected).all() and (one == expected[:len(one)]).all()
    os._exit(7 if right else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {} if parallelism is None else {"TOKENIZERS_PARALLELISM": parallelism}
    assert run(program, tokenizer_file, **environment) == "7"
