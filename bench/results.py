"""All results of one run of the suite."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.kernels import KernelSpeed
from bench.rounds import Results
from bench.startup import Scale, Startup
from bench.stats import Summary, summary
from bench.workloads import Workload


@dataclass
class Report:
    """What a run measured; parts that were not asked for are empty.

    Attributes:
        machine: Facts about it.
        best_isa: The instruction set this package chooses here.
        workloads: What the sides ran.
        by_threads: Rounds, by number of threads.
        int8_instruction: The instruction of the rounds' gauge and of the plot's limit.
        kernels: Results of single kernels.
        startup: Results of new processes.
        scaling: Results of many texts.
    """

    machine: dict[str, str]
    best_isa: str
    workloads: list[Workload]
    by_threads: dict[int, Results] = field(default_factory=dict)
    int8_instruction: str = ""
    kernels: list[KernelSpeed] = field(default_factory=list)
    startup: list[Startup] = field(default_factory=list)
    scaling: list[Scale] = field(default_factory=list)

    def workload(self, name: str) -> Workload:
        """Return a workload by its name."""
        return next(workload for workload in self.workloads if workload.name == name)

    def speed(self, threads: int, workload: str, side: str) -> Summary | None:
        """Return seconds per text for latencies, else tokens a second; None if not measured."""
        results = self.by_threads.get(threads)
        seconds = results.seconds.get(workload, {}).get(side) if results else None
        if not seconds:
            return None
        known = self.workload(workload)
        return summary(seconds if known.is_latency else [known.tokens / s for s in seconds])

    def faster_by(self, threads: int, workload: str, side: str, peer: str) -> float | None:
        """Return the median over the rounds of a peer's time over a side's; None if not measured.

        Round by round, because a virtual machine's speed changes from one round to the next.
        """
        results = self.by_threads.get(threads)
        seconds = results.seconds.get(workload, {}) if results else {}
        if not (seconds.get(side) and seconds.get(peer)):
            return None
        return statistics.median(
            theirs / ours for ours, theirs in zip(seconds[side], seconds[peer], strict=True)
        )

    def peak(self, threads: int) -> Summary | None:
        """Return the gauge's multiply-adds a second during the rounds of `threads` threads."""
        results = self.by_threads.get(threads)
        readings = [peak for peak in results.peaks if peak] if results else []
        return summary(readings) if readings else None

    def as_json(self) -> dict[str, Any]:
        """Return everything except the texts, for json.dump."""
        found = asdict(self)
        for workload in found["workloads"]:
            workload["texts"] = len(workload["texts"])
        return found
