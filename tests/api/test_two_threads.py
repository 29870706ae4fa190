"""Two threads are faster than one. It needs two idle CPUs, so it is marked slow."""

from __future__ import annotations

import os
import time

import pytest

from bge_micro import SentenceTransformer

TEXTS = [f"Sentence number {n} says what the one before it said, once more." for n in range(400)]


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="this machine has one CPU")
def test_two_threads_are_faster_than_one() -> None:
    model = SentenceTransformer()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(100):  # the best of each: other load only makes it longer
        for threads, times in seconds.items():
            started = time.perf_counter()
            model.encode(TEXTS, threads=threads)
            times.append(time.perf_counter() - started)
        one, two = (min(times) for times in seconds.values())
        if turn >= 8 and two < 0.75 * one:
            break
    print(f"1 thread: {one * 1e3:.1f} ms, 2 threads: {two * 1e3:.1f} ms")
    assert two < 0.75 * one
