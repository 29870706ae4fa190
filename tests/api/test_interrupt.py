"""Ctrl-C ends a long encode soon, and the model works as before afterwards."""

from __future__ import annotations

import statistics
import subprocess
import sys
import textwrap

import pytest

from patience import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")

# Seconds of work of each thread after the signal. CPU time is measured, because a machine that is
# busy with other things stretches the other.
LIMIT = 0.2
THREADS = 2
INTERRUPTS = 3

# A thread that sleeps meanwhile sends the signal, so that the time before it is known.
PROGRAM = """
    import os, signal, threading, time
    from bge_micro import SentenceTransformer

    SENTENCE = "the quick brown fox jumps over the lazy dog near the bank of the river "
    model = SentenceTransformer(compute_type=COMPUTE_TYPE, threads=THREADS)
    expected = model.encode([SENTENCE, "short", SENTENCE * 9]).tobytes()
    INPUTS

    def interrupt(delay):
        global sent
        time.sleep(delay)
        sent = time.process_time()
        os.kill(os.getpid(), signal.SIGINT)

    for number in range(INTERRUPTS):
        delay = 0.1 + 0.07 * number  # at another stage of the work
        try:
            threading.Thread(target=interrupt, args=[delay]).start()
            WORK
            print("was not interrupted", flush=True)
        except KeyboardInterrupt:
            print(time.process_time() - sent, flush=True)
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
        ("int8", "SENTENCE", "while True: model.encode(inputs)"),
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
        "THREADS": str(THREADS),
        "INPUTS": f"inputs = {inputs}",
        "INTERRUPTS": str(INTERRUPTS),
        "WORK": work,
    }.items():
        program = program.replace(name, text)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    delays, equal = done.stdout.split()[::2], done.stdout.split()[1::2]
    assert equal == ["True"] * INTERRUPTS, f"other vectors after the interrupt: {done.stdout}"
    print(f"CPU seconds after the interrupt: {', '.join(delays)}")
    assert statistics.median(map(float, delays)) <= LIMIT * THREADS
