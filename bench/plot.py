"""Latency and throughput against text length, with the machine's limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.peak import all_multiply_adds
from bench.results import Report
from bench.sides import PEERS, our_name
from bench.workloads import SWEEP_LENGTHS
from bge_micro.atomic import atomic_file

THREADS = 1
OURS_COLOR, LIMIT_COLOR = "#c1121f", "#6c757d"
# One colour per runtime; dashed lines are float32.
RUNTIME_COLORS = {
    "ONNX Runtime": "#1d6fb8",
    "OpenVINO": "#2a9d5c",
    "CTranslate2": "#8338ec",
    "sentence-transformers": "#b08900",
}


def plot(report: Report, path: Path) -> None:
    """Write the plot as PNG; it leaves out what was not measured."""
    mpl.use("Agg")
    figure = Figure(figsize=(13, 6.2), layout="constrained")
    latency, throughput = figure.subplots(1, 2)
    for side in [our_name(c, report.best_isa) for c in ("int8", "float32")] + [
        p.name for p in PEERS
    ]:
        style = _style(side)
        for axes, kind in ((latency, "alone"), (throughput, "in a batch")):
            points = _points(report, side, kind)
            if points:
                axes.plot(*zip(*points, strict=True), label=side, **style)
    _limits(report, latency, throughput)
    _finish(latency, "One text alone", "milliseconds (less is better)")
    _finish(throughput, "Texts of one length in one call", "tokens a second (more is better)")
    handles, labels = latency.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(
        f"bge-micro-v2 on one thread: string in, vector out\n{report.machine['CPU']}", fontsize=12
    )
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=130)


def _style(side: str) -> dict[str, Any]:
    runtime = next((name for name in RUNTIME_COLORS if side.startswith(name)), "")
    exact = "float32" in side or runtime == "sentence-transformers"
    style: dict[str, Any] = {
        "color": RUNTIME_COLORS.get(runtime, OURS_COLOR),
        "linestyle": "--" if exact else "-",
        "marker": "o",
        "markersize": 4,
        "linewidth": 1.6 if runtime else 2.6,
        "zorder": 2 if runtime else 3,
    }
    if "bf16" in side:
        style |= {"linestyle": ":", "marker": "s"}
    return style


def _points(report: Report, side: str, kind: str) -> list[tuple[float, float]]:
    points = []
    for length in SWEEP_LENGTHS:
        workload = f"{length} tokens {kind}"
        speed = report.speed(THREADS, workload, side)
        if speed:
            scale = 1e3 if kind == "alone" else 1.0
            points.append((report.workload(workload).mean_tokens, speed.median * scale))
    return points


def _limits(report: Report, latency: Axes, throughput: Axes) -> None:
    """Draw the limit of a core that computes only the model's multiply-adds, in 8 bits."""
    peak = report.peak(THREADS)
    if not peak:
        return
    seconds = [all_multiply_adds(length) / peak.median for length in SWEEP_LENGTHS]
    rates = [length / s for length, s in zip(SWEEP_LENGTHS, seconds, strict=True)]
    label = f"limit: all multiply-adds at the peak of {report.int8_instruction}"
    style: dict[str, Any] = {"color": LIMIT_COLOR, "linewidth": 1.2, "zorder": 1}
    latency.plot(SWEEP_LENGTHS, [1e3 * s for s in seconds], label=label, **style)
    throughput.plot(SWEEP_LENGTHS, rates, label=label, **style)
    shade: dict[str, Any] = {"color": LIMIT_COLOR, "alpha": 0.15, "linewidth": 0}
    latency.fill_between(SWEEP_LENGTHS, [1e3 * s for s in seconds], [1e-9] * len(seconds), **shade)
    throughput.fill_between(SWEEP_LENGTHS, rates, [1e9] * len(rates), **shade)
    where = {"ha": "center", "color": LIMIT_COLOR, "style": "italic"}
    latency.text(0.75, 0.06, "beyond the machine", transform=latency.transAxes, **where)
    throughput.text(0.5, 0.93, "beyond the machine", transform=throughput.transAxes, **where)
    low = min(1e3 * s for s in seconds)
    latency.set_ylim(bottom=low / 1.6)
    throughput.set_ylim(top=max(rates) * 1.25)


def _finish(axes: Axes, title: str, label: str) -> None:
    axes.set_title(title)
    axes.set_xlabel("tokens of a text")
    axes.set_ylabel(label)
    axes.set_xscale("log", base=2)
    axes.set_xlim(SWEEP_LENGTHS[0] * 0.85, SWEEP_LENGTHS[-1] * 1.15)
    axes.set_xticks(SWEEP_LENGTHS, [str(length) for length in SWEEP_LENGTHS])
    axes.xaxis.set_minor_locator(NullLocator())
    if title.startswith("One"):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.grid(visible=True, which="major", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
