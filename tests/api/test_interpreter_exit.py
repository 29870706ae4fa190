"""A process ends quietly, with its own exit code, while daemon threads are inside the core.

Before Python 3.14 a thread that wants the GIL of an interpreter that is ending is ended by
pthread_exit, which unwinds its stack; through C++ that means std::terminate and an abort.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

# What daemon threads are in the midst of when the process ends.
WORK = {
    "encode": "model.encode(long)",
    "encode on threads": "model.encode(long * 5, threads=2)",
    "encode queries": "model.encode(short)",
    "encode with poll": "model.encode(long, poll=poll)",
    "encode on threads with poll": "model.encode(long, poll=poll, threads=2)",
    "token embeddings": "model.encode(long, output_value='token_embeddings')",
    "encode_iter": "list(model.encode_iter(iter(long)))",
    "aencode": "use_aencode()",
    "top_k": "top_k(rows[:100], rows, 5)",
    "trim": "model.encode(short); model.trim()",
    "load": "SentenceTransformer().encode(short)",
    "load float32": "SentenceTransformer(compute_type='float32')",
}

# Forked children load nothing again, so that a repeat takes a tenth of a second. Each does some
# work in two daemon threads and ends in the midst of it, by the whole of Py_Finalize.
PROGRAM = """
import asyncio, json, os, sys, threading, time
import numpy as np
from bge_micro import SentenceTransformer
from bge_micro.search import top_k

work, repeats = json.loads(sys.argv[1]), int(sys.argv[2])
model = SentenceTransformer()
short, long = ["a short text"], ["words " * 300] * 40
rows = np.random.default_rng(0).standard_normal((20_000, 384), np.float32)
started = threading.Barrier(3)

def poll():
    time.sleep(0.001)

async def encode_forever():
    while True:
        await model.aencode(long[:4])

def use_aencode():
    try:
        asyncio.run(encode_forever())
    except RuntimeError:  # asyncio can start no threads any more
        threading.Event().wait()

def repeat_forever(code):
    started.wait()
    while True:
        exec(code)

codes = {name: [] for name in work}
for name, code in work.items():
    for repeat in range(repeats):
        child = os.fork()
        if child == 0:
            for _ in range(2):
                threading.Thread(target=repeat_forever, args=[code], daemon=True).start()
            started.wait()
            time.sleep(0.06 * repeat / repeats)
            sys.exit(7)
        codes[name].append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(codes))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="repeats in forked children")
@pytest.mark.parametrize("repeats", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_exit_while_daemon_threads_work(repeats: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(WORK), str(repeats)],
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {name: [7] * repeats for name in WORK}, done.stderr
    assert done.stderr == ""
