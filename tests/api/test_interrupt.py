"""Ctrl-C ends a long encode within 0.2 s, and the model works as before afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")

LIMIT = 0.2  # seconds
BUSY = 3  # how much slower a busy machine may be
INTERRUPTS = 3

PROGRAM = """
    import time
    from bge_micro import SentenceTransformer

    SENTENCE = "the quick brown fox jumps over the lazy dog near the bank of the river "
    model = SentenceTransformer(compute_type=COMPUTE_TYPE, threads=2)
    expected = model.encode([SENTENCE, "short", SENTENCE * 9]).tobytes()
    INPUTS
    for _ in range(INTERRUPTS):
        try:
            print("begins", flush=True)
            WORK
            print("was not interrupted", flush=True)
        except KeyboardInterrupt:
            print(time.monotonic(), flush=True)
        equal = model.encode([SENTENCE, "short", SENTENCE * 9]).tobytes() == expected
        print(equal, flush=True)
"""


@pytest.mark.parametrize(
    ("compute_type", "inputs", "work"),
    [
        ("int8", "[SENTENCE * 8] * 5000", "model.encode(inputs)"),
        ("int8", "[SENTENCE * 40] * 5000", "model.encode(inputs, threads=1)"),
        ("float32", "[SENTENCE * 40] * 5000", "model.encode(inputs)"),
        ("int8", "[SENTENCE * 8] * 5000", "model.encode(inputs, output_value='token_embeddings')"),
        ("int8", "[SENTENCE * 8] * 5000", "list(model.encode_iter(inputs))"),
        ("int8", "[SENTENCE * 8] * 60000", "model.count_tokens(inputs)"),
        ("int8", "['word'] * 3000000", "model.count_tokens(inputs)"),
        ("int8", "SENTENCE", "exec('while True: model.encode(inputs)')"),
    ],
    ids=[
        "batch",
        "one thread",
        "float32",
        "token embeddings",
        "blocks",
        "tokens of long texts",
        "tokens of many texts",
        "lone texts",
    ],
)
def test_interrupt(compute_type: str, inputs: str, work: str) -> None:
    program = textwrap.dedent(PROGRAM)
    for name, text in {
        "COMPUTE_TYPE": repr(compute_type),
        "INPUTS": f"inputs = {inputs}",
        "INTERRUPTS": str(INTERRUPTS),
        "WORK": work,
    }.items():
        program = program.replace(name, text)
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    delays = []
    try:
        assert child.stdout
        for number in range(INTERRUPTS):
            line = child.stdout.readline()
            assert line == "begins\n", line + child.communicate()[1]
            time.sleep(0.1 + 0.07 * number)  # at another stage of the work
            sent = time.monotonic()
            os.kill(child.pid, signal.SIGINT)
            # One clock for both processes.
            delays.append(float(child.stdout.readline()) - sent)
            assert child.stdout.readline() == "True\n", "other vectors after the interrupt"
    finally:
        child.kill()
        child.communicate()
    print(f"interrupted after {', '.join(f'{delay:.3f}' for delay in delays)} s")
    # The work between two checks for signals is constant: one slow of three is the machine's.
    assert min(delays) <= LIMIT
    assert sorted(delays)[INTERRUPTS // 2] <= LIMIT * BUSY
