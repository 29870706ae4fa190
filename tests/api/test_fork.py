"""Forked children encode with any number of threads, whatever their parent was doing."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from api.child import run_child
from patience import PATIENCE

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

PARALLELISM = pytest.mark.parametrize("parallelism", ["", "true", "false"])

COMMON = f"""
    import json, os, signal, threading, time, warnings
    from bge_micro import SentenceTransformer

    # Since Python 3.12, forking beside other threads is warned of; here it is the point.
    warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
    # Characters enough to wake the tokenizer's thread pool, but few tokens: a long word is one.
    TEXTS = [f"row {{row}} " + "x" * 300 for row in range(70)]
    model = SentenceTransformer(threads=1)
    model.max_seq_length = 16
    expected = model.encode(TEXTS).tobytes()

    def equal(threads):
        lone = model.encode(TEXTS[3], threads=threads).tobytes() == expected[3 * 1536 : 4 * 1536]
        return lone and model.encode(TEXTS, threads=threads).tobytes() == expected

    def child_status(work):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if all(equal(threads) for threads in work) else 2
            finally:
                os._exit(status)
        end = time.monotonic() + {PATIENCE}
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "hangs"
"""


def statuses(program: str, parallelism: str) -> object:
    """Run a program that prints its children's exit codes: 0 equal, 1 error, 2 other vectors."""
    environ = {"TOKENIZERS_PARALLELISM": parallelism} if parallelism else {}
    return run_child(textwrap.dedent(COMMON) + textwrap.dedent(program), environ=environ)


@PARALLELISM
def test_before_and_after_threads_were_used(parallelism: str) -> None:
    program = """
        found = [child_status([1]), child_status([2, 3])]
        assert equal(2)
        found += [child_status([1]), child_status([2]), child_status([3, 1, 2])]
        assert equal(3) and equal(2), "the parent is well after its children"
        print(json.dumps(found))
    """
    assert statuses(program, parallelism) == [0] * 5


@PARALLELISM
def test_while_another_thread_encodes(parallelism: str) -> None:
    program = """
        over = threading.Event()
        rounds = [0]

        def work():
            while not over.is_set():
                assert equal(2)
                rounds[0] += 1

        worker = threading.Thread(target=work)
        worker.start()
        found = []
        while len(found) < 5 or not rounds[0]:
            time.sleep(0.007 * (len(found) % 5))  # at another moment of the work
            found.append(child_status([2, 1 + len(found) % 3]))
        over.set()
        worker.join()
        print(json.dumps(sorted(set(found), key=str)))
    """
    assert statuses(program, parallelism) == [0]


def test_children_of_children() -> None:
    program = """
        assert equal(2)
        child = os.fork()
        if child == 0:
            first = equal(2)
            os._exit(0 if first and child_status([2, 3]) == 0 and equal(3) else 1)
        print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
    """
    assert statuses(program, "") == 0


MULTIPROCESSING = f"""
    import json, multiprocessing, sys, warnings
    from concurrent.futures import ProcessPoolExecutor
    from bge_micro import SentenceTransformer

    warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
    TEXTS = ["one text", "and another one of more words"] * 4

    def encode(model, threads):
        return model.encode(TEXTS, threads=threads).tobytes().hex()

    if __name__ == "__main__":
        model = SentenceTransformer()
        expected = encode(model, 2)
        context = multiprocessing.get_context(sys.argv[1])
        with ProcessPoolExecutor(1, context) as executor:
            equal = [executor.submit(encode, model, threads).result({PATIENCE}) == expected
                     for threads in (1, 2, 3)]
        print(json.dumps(equal))
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing(method: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"  # a file, because spawned children import it
    program.write_text(textwrap.dedent(MULTIPROCESSING))
    done = subprocess.run(
        [sys.executable, str(program), method],
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )
    assert done.stdout.strip() == "[true, true, true]", done.stderr
