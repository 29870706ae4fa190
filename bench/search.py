"""Measure exact search over a million vectors against the speed at which memory can be read.

    taskset -c 0 python bench/search.py

It uses one thread and reports CPU time, the best of several rounds. The probe reads the same array
with NumPy's fastest reduction: its rate is what one core can read from memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from bge_micro.search import top_k

ROWS = 1_000_000
ROUNDS = 7
DIMENSIONS = 384


def seconds(call: Callable[[], object]) -> float:
    """Return the CPU time of the fastest call."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    """Print a Markdown table."""
    rng = np.random.default_rng(0)
    print("| precision | queries | metric | ms | GB/s | share of the read probe |")
    print("|---|---|---|---|---|---|")
    for precision in ("float32", "int8", "binary"):
        if precision == "float32":
            corpus = rng.standard_normal((ROWS, DIMENSIONS), dtype=np.float32)
        else:
            columns = DIMENSIONS if precision == "int8" else DIMENSIONS // 8
            corpus = rng.integers(-128, 128, (ROWS, columns), dtype=np.int8)
        words = corpus.reshape(-1).view(np.uint64)
        probe = corpus.nbytes / seconds(lambda words=words: np.bitwise_or.reduce(words))
        for queries, metric in ((1, "dot"), (1, "cosine"), (8, "dot"), (64, "dot")):
            asked = corpus[:queries].copy()
            time_taken = seconds(
                lambda asked=asked, corpus=corpus, metric=metric, precision=precision: top_k(
                    asked, corpus, 10, metric=metric, precision=precision, threads=1
                )
            )
            rate = corpus.nbytes / time_taken
            print(
                f"| {precision} | {queries} | {metric} | {1e3 * time_taken:.1f} "
                f"| {rate / 1e9:.1f} | {rate / probe:.0%} of {probe / 1e9:.1f} |",
                flush=True,
            )
        del corpus, words


if __name__ == "__main__":
    main()
