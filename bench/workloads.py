"""The workloads: texts, and how they arrive."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bench.sides.base import Side
from bench.stats import seconds_of
from bench.texts import Count, lognormal_lengths, queries, sentences, texts_of

ONE_CALL, ONE_BY_ONE, WITH_IDLENESS = "one call", "one by one", "one by one, idle between"
IDLE_SECONDS = 0.020
SWEEP_LENGTHS = (8, 16, 32, 64, 128, 256, 512)
SWEEP_TOKENS = 4096  # tokens of a batch of each length


@dataclass(frozen=True)
class Workload:
    """Some texts and how they arrive.

    Attributes:
        name: Its name in the tables.
        texts: Distinct texts.
        style: `ONE_CALL`, `ONE_BY_ONE` or `WITH_IDLENESS`.
        mean_tokens: Mean tokens of a text, special tokens included.
        sweep: Whether it is a point of the plot rather than a row of the tables.
    """

    name: str
    texts: list[str]
    style: str
    mean_tokens: float
    sweep: bool = False

    @property
    def tokens(self) -> float:
        """All tokens of a run."""
        return self.mean_tokens * len(self.texts)

    @property
    def is_latency(self) -> bool:
        """Whether a run's figure is the median time of a text; otherwise it is the time of all."""
        return self.style != ONE_CALL


def main_workloads(count: Count) -> list[Workload]:
    """Return the workloads of the tables; `count` counts the tokens of a text."""
    short = queries(100)
    sets = [
        ("queries", short, ONE_BY_ONE),
        ("queries, 20 ms idle", short[:50], WITH_IDLENESS),
        ("sentences", sentences(2000), ONE_CALL),
        ("passages", texts_of([300] * 200, count), ONE_CALL),
        ("512 tokens", texts_of([512] * 32, count), ONE_CALL),
        ("mixed lengths", texts_of(lognormal_lengths(300), count), ONE_CALL),
    ]
    return [_workload(name, texts, style, count) for name, texts, style in sets]


def sweep_workloads(count: Count) -> list[Workload]:
    """Return the workloads of the plot: each length alone, and in a batch."""
    found = []
    for length in SWEEP_LENGTHS:
        texts = texts_of([length] * (SWEEP_TOKENS // length), count)
        alone = _workload(f"{length} tokens alone", texts[:8], ONE_BY_ONE, count, sweep=True)
        batch = _workload(f"{length} tokens in a batch", texts, ONE_CALL, count, sweep=True)
        found += [alone, batch]
    return found


def run(side: Side, workload: Workload, batch_size: int) -> float:
    """Return the seconds of one run: for all texts, or the median of texts one by one."""
    if workload.style == ONE_CALL:
        return seconds_of(lambda: side.encode(workload.texts, batch_size))
    times = []
    for text in workload.texts:
        if workload.style == WITH_IDLENESS:
            time.sleep(IDLE_SECONDS)
        times.append(seconds_of(partial(side.encode, [text], 1)))
    return statistics.median(times)


def best_batch_size(side: Side, workload: Workload) -> int:
    """Return the batch size that is fastest on a part of the texts.

    Larger sizes are tried until one is clearly slower than the best: below the best size the calls
    cost time, above it padding and cache misses do.
    """
    sizes = sorted(side.batch_sizes)
    if workload.is_latency or len(sizes) == 1:
        return sizes[0]
    texts = workload.texts[:: max(1, len(workload.texts) // sizes[-1])]  # enough for the largest
    side.encode(texts[: sizes[0]], sizes[0])
    times: dict[int, float] = {}
    for size in sizes:
        times[size] = seconds_of(partial(side.encode, texts, size))
        if times[size] > 1.05 * min(times.values()):
            break
    return min(times, key=lambda size: times[size])


def _workload(
    name: str, texts: Sequence[str], style: str, count: Count, *, sweep: bool = False
) -> Workload:
    mean = sum(map(count, texts)) / len(texts)
    return Workload(name, list(texts), style, mean, sweep)
