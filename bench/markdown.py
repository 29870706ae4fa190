"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bench.results import Report
from bench.stats import Summary
from bench.targets import Target, targets


def markdown(report: Report) -> str:
    """Return the whole report."""
    return "\n".join(_lines(report)) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def figure(value: Summary, unit: str, digits: int = 0) -> str:
    """Return a median with its spread, such as "31,200 tok/s ± 3 %"; one value has none."""
    spread = f" ± {100 * value.spread:.0f} %" if value.count > 1 else ""
    return f"{value.median:,.{digits}f} {unit}{spread}"


def _lines(report: Report) -> Iterator[str]:
    yield "# Benchmark"
    yield ""
    yield from table(("what", "value"), report.machine.items())
    yield "A figure is the median of its rounds, ± the distance between their quartiles (of fewer"
    yield "than four rounds: their whole range) as a share of it."
    yield ""
    yield "## Targets"
    yield ""
    yield from table(
        ("what", "measured", "floor", "aim", "reaches", "note"),
        (
            (t.what, _number(t.value, t), _number(t.floor, t), _number(t.aim, t), t.verdict, t.note)
            for t in targets(report)
        ),
    )
    for threads in report.by_threads:
        yield from _rounds(report, threads)
    if report.kernels:
        yield from _kernels(report)
    if report.startup:
        yield from _startup(report)
    if report.scaling:
        yield from _scaling(report)


def _number(value: float | None, target: Target) -> str:
    if value is None:
        return ""
    digits = {"MB": 0, "%": 0, "s": 3, "times": 2}[target.unit]
    return f"{value:.{digits}f}" + ("" if target.unit == "times" else f" {target.unit}")


def _rounds(report: Report, threads: int) -> Iterator[str]:
    results = report.by_threads[threads]
    yield f"## Sides on {threads} thread{'s' if threads > 1 else ''}"
    yield ""
    packages = sorted(results.versions.items())
    yield f"{report.machine['CPU']}; {', '.join(f'{name} {v}' for name, v in packages)}."
    yield ""
    peak = report.peak(threads)
    if peak:
        yield f"Peak of one core during the rounds, multiply-adds of {report.int8_instruction}:"
        yield f"{figure(peak.scaled(1e-9), 'G/s')}."
        yield ""
    yield "Latency of a text that comes alone, throughput of texts in one call; in brackets the"
    yield "batch size, the best of those tried. Cosine: mean, with this package's float32."
    yield ""
    shown = [w for w in report.workloads if not w.sweep and w.name in results.seconds]
    head = ["side", "cosine", *(f"{w.name}, {w.mean_tokens:.1f} tokens" for w in shown)]
    rows = []
    for side, cosine in results.cosines.items():
        cells = [side, f"{cosine:.5f}"]
        for workload in shown:
            speed = report.speed(threads, workload.name, side)
            if speed is None:
                cells.append("")
            elif workload.is_latency:
                cells.append(figure(speed.scaled(1e3), "ms", 3))
            else:
                size = results.batch_sizes[workload.name][side]
                cells.append(figure(speed, "tok/s") + (f" ({size})" if size else ""))
        rows.append(cells)
    yield from table(head, rows)
    if results.left_out:
        yield "Left out:"
        yield ""
        yield from (f"- {side}: {reason}" for side, reason in results.left_out.items())
        yield ""


def _kernels(report: Report) -> Iterator[str]:
    yield "## Kernels"
    yield ""
    yield "Multiply-adds a second, and their share of what the instruction does at most on the same"
    yield "core in the same round. Linears: the tile and its conversion to float."
    yield ""
    rows = [
        (
            speed.kernel,
            speed.shape,
            str(speed.rows),
            figure(speed.rate.scaled(1e-9), "G/s", 1),
            f"{100 * speed.share.median:.0f} %",
            f"{speed.peak.median * 1e-9:.0f} G/s, {speed.instruction}",
        )
        for speed in report.kernels
    ]
    yield from table(("kernel", "shape", "rows", "multiply-adds", "share", "peak"), rows)


def _startup(report: Report) -> Iterator[str]:
    yield "## Fresh process to first vector"
    yield ""
    rows = [
        (
            kind.name,
            figure(kind.seconds, "s", 3),
            figure(kind.peak_mb, "MB", 1),
            str(kind.seconds.count),
        )
        for kind in report.startup
    ]
    yield from table(("process", "whole time", "peak memory", "processes"), rows)


def _scaling(report: Report) -> Iterator[str]:
    yield "## Many texts through encode_iter"
    yield ""
    rows = [
        (f"{scale.texts:,}", f"{1e6 * scale.seconds_a_text:.0f} us", f"{scale.peak_mb:.1f} MB")
        for scale in report.scaling
    ]
    yield from table(("texts", "time a text", "peak memory of the process"), rows)
