"""Long runs that must not grow: `PYTHONPATH=tests python -m reliability.soak WHAT [COUNT]`.

WHAT is texts (a million texts of mixed length, in blocks of any size), threads (ten thousand
short-lived threads) or loads (a model loaded and dropped a thousand times). Each prints one JSON
object with the resident memory, in KB, after each tenth of the work; by the first, everything has
been used that is kept. --folder takes another model than the bundled one.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bge_micro import SentenceTransformer

COUNTS = {"texts": 1_000_000, "threads": 10_000, "loads": 1_000}

# Words of many scripts, joined to texts of any length.
WORDS = [
    *("the", "ferry", "left", "at", "noon", "with", "a", "cat", "façade", "naïve", "x", "return"),
    *("(a[i]", "==", "b[j])", ";", "быстрая", "лиса", "прыгает", "圖書館", "的", "老先生", "🙂"),
    *("مرحبا", "नमस्ते", "encyclopaedically"),
]


def resident_kb() -> int:
    """Return how much of this process is in memory (Linux)."""
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("no VmRSS in /proc/self/status")


def mixed_text(rng: random.Random) -> str:
    """Return a text: mostly a few words, at times thousands."""
    most = rng.choices([6, 20, 60, 600, 3000], [60, 30, 8, 1.9, 0.1])[0]
    return " ".join(rng.choices(WORDS, k=rng.randrange(most)))


def watched(count: int, steps: Iterator[int]) -> list[int]:
    """Go through steps, each the number of items done in it; return resident memory at moments."""
    moments = [count * tenth // 10 for tenth in range(1, 11)]
    seen: list[int] = []
    done = 0
    for items in steps:
        done += items
        while len(seen) < len(moments) and done >= moments[len(seen)]:
            seen.append(resident_kb())
    return seen


def texts(load: Callable[[], SentenceTransformer], count: int) -> Iterator[int]:
    """Encode texts, in calls of one to 300."""
    rng = random.Random(1)
    model = load()
    model.encode([" ".join(WORDS * 100)] * 8)  # the longest block there will be
    done = 0
    while done < count:
        rows = [mixed_text(rng) for _ in range(min(rng.choice([1, 7, 300]), count - done))]
        vectors = model.encode(rows, threads=rng.choice([1, 2]))
        assert np.isfinite(vectors).all()
        done += len(rows)
        yield len(rows)


def threads(load: Callable[[], SentenceTransformer], count: int) -> Iterator[int]:
    """Encode in threads that live for one call, up to eight at once."""
    model = load()
    expected = model.encode(WORDS).tobytes()
    wrong: list[int] = []

    def work(number: int) -> None:
        if model.encode(WORDS, threads=1 + number % 3).tobytes() != expected:
            wrong.append(number)

    for first in range(0, count, 8):
        group = [threading.Thread(target=work, args=(first + i,)) for i in range(8)]
        for thread in group:
            thread.start()
        for thread in group:
            thread.join()
        assert not wrong, f"threads {wrong} got other vectors"
        yield len(group)


def loads(load: Callable[[], SentenceTransformer], count: int) -> Iterator[int]:
    """Load a model, use it, drop it."""
    for _ in range(count):
        model = load()
        model.encode(WORDS[:2])
        del model
        yield 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=COUNTS)
    parser.add_argument("count", nargs="?", type=int)
    parser.add_argument("--folder", default="bge-micro-v2")
    arguments = parser.parse_args()
    count = arguments.count or COUNTS[arguments.what]

    def load() -> SentenceTransformer:
        return SentenceTransformer(arguments.folder)

    steps = {"texts": texts, "threads": threads, "loads": loads}[arguments.what](load, count)
    seen = watched(count, steps)
    print(json.dumps({"what": arguments.what, "count": count, "resident_kb": seen}))


if __name__ == "__main__":
    main()
