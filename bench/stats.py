"""Medians, spreads, ratios and agreement, computed from the runs for the tables."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Repeated measurements of one quantity.

    Attributes:
        median: Of all.
        spread: Distance of the quartiles over the median; of two or three values, the whole range.
        count: How many there were.
    """

    median: float
    spread: float
    count: int

    def scaled(self, factor: float) -> Summary:
        """Return the values in another unit."""
        return Summary(self.median * factor, self.spread, self.count)


def summary(values: Sequence[float]) -> Summary:
    """Summarise at least one measurement."""
    median = statistics.median(values)
    if len(values) < 4:
        width = max(values) - min(values)
    else:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        width = high - low
    return Summary(median, width / median if median else 0.0, len(values))


def mean_cosine(a: Any, b: Any) -> float:
    """Return the mean over rows of the cosine of two arrays (n, d)."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(1) / lengths).mean())


def seconds_of(work: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
