"""The bench's report: ratios against their targets, the tables, the plot."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("bench", reason="the bench is part of a checkout only")

from bench.markdown import markdown
from bench.results import Report
from bench.rounds import Results
from bench.startup import IMPORTS, OURS, PEER, Startup
from bench.stats import Summary
from bench.targets import Target, fastest_peer, targets
from bench.workloads import ONE_BY_ONE, ONE_CALL, Workload

SHORT = Workload("queries", ["a"], ONE_BY_ONE, 15.0)
BATCH = Workload("sentences", ["b"] * 100, ONE_CALL, 20.0)
OURS_INT8, ORT, OPENVINO = "bge-micro int8 avx2", "ONNX Runtime int8", "OpenVINO float32"


@pytest.fixture
def report() -> Report:
    """Return a report of made-up rounds, in which the ratios are plain numbers."""
    results = Results(threads=1)
    results.seconds = {
        "queries": {OURS_INT8: [0.001, 0.001, 0.002], ORT: [0.0015] * 3},
        "sentences": {OURS_INT8: [1.0] * 3, ORT: [2.5] * 3, OPENVINO: [2.0] * 3},
    }
    results.batch_sizes = {"sentences": {OURS_INT8: 0, ORT: 16, OPENVINO: 8}}
    results.cosines = {OURS_INT8: 0.9998, ORT: 0.998, OPENVINO: 1.0}
    results.left_out = {"CTranslate2 int8": "ModuleNotFoundError: No module named 'ctranslate2'"}
    results.peaks = [2e10]
    startup = [
        Startup(name, Summary(seconds, 0.1, 40), Summary(peak, 0.0, 40))
        for name, seconds, peak in ((IMPORTS, 0.1, 20.0), (OURS, 0.14, 60.0), (PEER, 0.28, 90.0))
    ]
    machine = {"CPU": "made up"}
    return Report(machine, "avx2", [SHORT, BATCH], {1: results}, startup=startup)


def measured(report: Report) -> dict[str, Target]:
    return {target.what: target for target in targets(report) if target.value is not None}


def test_ratios(report: Report) -> None:
    found = measured(report)
    latency = found["query latency, ONNX Runtime int8 over ours, threads: 1"]
    assert (latency.value, latency.verdict) == (1.5, "floor")
    sentences = found["sentences: our int8 throughput over the fastest peer's"]
    assert (sentences.value, sentences.note, sentences.verdict) == (2.0, OPENVINO, "aim")
    share = found["sentences: multiply-adds of the linears, share of the peak"]
    assert share.value == pytest.approx(100 * 2000 * 5_308_416 / 2e10)
    start = found["fresh process to first vector, over importing numpy and tokenizers"]
    assert start.value == pytest.approx(0.04)
    assert start.verdict == "floor"
    assert found["peak memory of that process"].verdict == "floor"


def test_what_was_not_measured_reaches_nothing(report: Report) -> None:
    missing = [target for target in targets(report) if target.value is None]
    assert "sentences: our throughput, 2 threads over 1" in [target.what for target in missing]
    assert {target.verdict for target in missing} == {""}
    assert Target("a time", 0.06, "s", 0.05, 0.03, lower=True).verdict == "short"


def test_fastest_peer_is_not_us(report: Report) -> None:
    assert fastest_peer(report, "sentences") == OPENVINO
    assert fastest_peer(report, "sentences", "int8") == ORT
    assert fastest_peer(report, "passages") is None


def test_tables(report: Report) -> None:
    lines = markdown(report).splitlines()
    row = next(line for line in lines if line.startswith(f"| {ORT} | 0.998"))
    assert row == f"| {ORT} | 0.99800 | 1.500 ms ± 0 % | 800 tok/s ± 0 % (16) |"
    assert "- CTranslate2 int8: ModuleNotFoundError: No module named 'ctranslate2'" in lines
    for first, second in pairwise(lines):  # rows are as long as their heads
        if first.startswith("|") and second.startswith("|"):
            assert first.count("|") == second.count("|"), second


def test_json_holds_every_run(report: Report) -> None:
    known = json.loads(json.dumps(report.as_json()))
    assert known["by_threads"]["1"]["seconds"]["queries"][OURS_INT8] == [0.001, 0.001, 0.002]
    assert known["workloads"][1]["texts"] == 100


def test_plot(report: Report, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra bge-micro[plot]")
    from bench.plot import plot

    plot(report, tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
