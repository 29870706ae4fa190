"""The ratios that this package should reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.peak import linear_multiply_adds
from bench.results import Report
from bench.sides import PEERS, our_name
from bench.startup import IMPORTS, OURS, PEER
from bench.stats import Summary

ORT = "ONNX Runtime int8"
MB, PERCENT, SECONDS, TIMES = "MB", "%", "s", "times"


@dataclass(frozen=True)
class Target:
    """A figure and its bounds, lower ones or, with `lower`, upper ones.

    Attributes:
        what: The figure.
        value: Measured; None if a part of it was not measured.
        unit: Of value, floor and aim.
        floor: What it must reach.
        aim: What it should reach.
        lower: Whether less is better.
        note: Such as which peer was the fastest.
    """

    what: str
    value: float | None
    unit: str
    floor: float
    aim: float | None
    lower: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """ "aim", "floor", "short" (of both), or "" if it was not measured."""
        if self.value is None:
            return ""
        if self.aim is not None and self._reaches(self.aim):
            return "aim"
        return "floor" if self._reaches(self.floor) else "short"

    def _reaches(self, bar: float) -> bool:
        assert self.value is not None
        return self.value <= bar if self.lower else self.value >= bar


def targets(report: Report) -> list[Target]:
    """Return all targets, measured or not."""
    return [*_latency(report), *_throughput(report), *_kernels(report), *_processes(report)]


def fastest_peer(report: Report, workload: str, compute_type: str | None = None) -> str | None:
    """Return the peer with the highest throughput on one thread, of one compute type or of all."""
    speeds = {
        spec.name: speed.median
        for spec in PEERS
        if compute_type in (None, spec.compute_type)
        and (speed := report.speed(1, workload, spec.name))
    }
    return max(speeds, key=lambda name: speeds[name]) if speeds else None


def _ours(report: Report, compute_type: str = "int8") -> str:
    return our_name(compute_type, report.best_isa)


def _ratio(above: Summary | None, below: Summary | None) -> float | None:
    return above.median / below.median if above and below else None


def _latency(report: Report) -> Iterator[Target]:
    ours = _ours(report)
    for threads, aim in ((1, 1.6), (2, 1.8)):
        ratio = report.faster_by(threads, "queries", ours, ORT)
        what = f"query latency, ONNX Runtime int8 over ours, threads: {threads}"
        yield Target(what, ratio, TIMES, 1.4, aim)
    for workload in ("queries", "queries, 20 ms idle"):
        ratio = _ratio(report.speed(1, workload, ours), report.speed(2, workload, ours))
        yield Target(f"{workload}: our latency, 1 thread over 2", ratio, TIMES, 1.0, None)


def _throughput(report: Report) -> Iterator[Target]:
    ours, ours_float = _ours(report), _ours(report, "float32")
    for workload, floor, aim in (
        ("sentences", 1.8, 2.0),
        ("passages", 1.4, 1.6),
        ("512 tokens", 1.15, 1.3),
        ("mixed lengths", 1.8, 2.2),
    ):
        yield _over_peer(report, workload, ours, None, floor, aim)
    yield _over_peer(report, "sentences", ours_float, "float32", 1.1, 1.2)
    yield _over_peer(report, "passages", ours_float, "float32", 1.2, 1.3)
    for workload in ("sentences", "passages"):
        ratio = _ratio(report.speed(2, workload, ours), report.speed(1, workload, ours))
        yield Target(f"{workload}: our throughput, 2 threads over 1", ratio, TIMES, 1.85, 1.95)
    int8, float32 = (
        report.speed(1, "sentences", our_name(compute, "avx2")) for compute in ("int8", "float32")
    )
    yield Target("sentences on AVX2: int8 over float32", _ratio(int8, float32), TIMES, 1.3, 1.5)


def _over_peer(
    report: Report, workload: str, ours: str, compute_type: str | None, floor: float, aim: float
) -> Target:
    peer = fastest_peer(report, workload, compute_type)
    ratio = report.faster_by(1, workload, ours, peer) if peer else None
    kind = f"{compute_type} " if compute_type else ""
    what = f"{workload}: our {kind or 'int8 '}throughput over the fastest {kind}peer's"
    return Target(what, ratio, TIMES, floor, aim, note=peer or "")


def _kernels(report: Report) -> Iterator[Target]:
    kernel = f"linear int8 {report.best_isa}"
    groups: tuple[tuple[str, Callable[[int], bool]], ...] = (
        ("15 rows", lambda rows: rows == 15),
        ("128 rows and more", lambda rows: rows >= 128),
    )
    for what, chosen in groups:
        speeds = [s for s in report.kernels if s.kernel == kernel and chosen(s.rows)]
        worst = min(speeds, key=lambda speed: speed.share.median, default=None)
        yield Target(
            f"int8 linears, {what}: the least share of the peak",
            100 * worst.share.median if worst else None,
            PERCENT,
            80,
            90,
            note=f"{worst.shape}, {worst.rows} rows" if worst else "",
        )
    speed, peak = report.speed(1, "sentences", _ours(report)), report.peak(1)
    rate = speed.median * linear_multiply_adds() if speed else 0.0
    share = 100 * rate / peak.median if speed and peak else None
    what = "sentences: multiply-adds of the linears, share of the peak"
    yield Target(what, share, PERCENT, 65, 75)


def _processes(report: Report) -> Iterator[Target]:
    startup = {kind.name: kind for kind in report.startup}
    seconds = {name: kind.seconds.median for name, kind in startup.items()}
    over = seconds[OURS] - seconds[IMPORTS] if seconds else None
    what = "fresh process to first vector, over importing numpy and tokenizers"
    yield Target(what, over, SECONDS, 0.05, 0.03, lower=True)
    ratio = seconds[PEER] / seconds[OURS] if seconds else None
    yield Target("the same process's whole time, ONNX Runtime's over ours", ratio, TIMES, 1.0, None)
    peak = startup[OURS].peak_mb.median if startup else None
    note = f"ONNX Runtime {startup[PEER].peak_mb.median:.0f} MB" if startup else ""
    yield Target("peak memory of that process", peak, MB, 64, 50, lower=True, note=note)
    peaks = {scale.texts: scale.peak_mb for scale in report.scaling}
    growth = peaks[100_000] - peaks[1_000] if peaks else None
    what = "peak memory of 100,000 texts over 1,000's"
    yield Target(what, growth, MB, 5, 1, lower=True)
