"""Interleaved rounds: after a check that vectors agree, all sides run each workload in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.driver import RemoteSide, SideError
from bench.files import ModelFiles
from bench.sides import SideSpec
from bench.stats import mean_cosine
from bench.workloads import Workload

# Below this cosine a side computes something else, and its speed means nothing. Peers that round to
# 8 bits reach 0.998.
LEAST_COSINE = 0.98
AGREEMENT_TEXTS = 8  # rounds of each workload in the tables
# Thread pools spin for up to 0.2 s after a call, which must not fall into the next side's time.
REST_SECONDS = 0.3
# Float32 sides and the points of the plot take most of the time and spread less: they run in every
# second round.
SLOW_EVERY = 2

Say = Callable[[str], None]
TakesPart = Callable[[SideSpec, Workload], bool]


@dataclass
class Results:
    """The results for one number of threads.

    Attributes:
        threads: The number.
        seconds: Of each run, by workload and side.
        batch_sizes: Used, by workload and side.
        cosines: Mean cosine of each side with this package's float32.
        versions: Of the packages that took part.
        left_out: Why, by side.
        peaks: The gauge's readings, one a round.
    """

    threads: int
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    batch_sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    cosines: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    peaks: list[float] = field(default_factory=list)


def measure(
    specs: Sequence[SideSpec],
    reference: SideSpec,
    workloads: Sequence[Workload],
    takes_part: TakesPart,
    files: ModelFiles,
    cpus: list[int],
    rounds: int,
    gauge: Callable[[], float],
    say: Say,
) -> Results:
    """Load the sides, check that they agree, and run them in turns.

    Args:
        specs: The sides.
        reference: The side whose vectors are right.
        workloads: What to run.
        takes_part: Whether a side runs a workload.
        files: The model.
        cpus: One per thread.
        rounds: How often the workloads run.
        gauge: Measures the machine itself, once a round.
        say: Called with each step's name.
    """
    results = Results(len(cpus))
    texts = [text for w in workloads if not w.sweep for text in w.texts[:AGREEMENT_TEXTS]]
    with RemoteSide(reference, files, cpus) as side:
        expected = side.vectors(texts)
    with ExitStack() as stack:
        sides = []
        for spec in specs:
            try:
                side = stack.enter_context(RemoteSide(spec, files, cpus))
                cosine = mean_cosine(side.vectors(texts), expected)
            except SideError as error:
                results.left_out[spec.name] = str(error)
            else:
                results.cosines[spec.name] = cosine
                results.versions |= side.versions
                if cosine >= LEAST_COSINE:
                    sides.append(side)
                else:
                    results.left_out[spec.name] = f"its vectors disagree: mean cosine {cosine:.4f}"
            say(f"{spec.name}: {results.left_out.get(spec.name, 'ready')}")
        for round_ in range(rounds):
            results.peaks.append(gauge())
            for workload in workloads:
                if workload.sweep and round_ % SLOW_EVERY:
                    continue
                taking_part = [side for side in sides if takes_part(side.spec, workload)]
                _run_round(round_, workload, taking_part, results)
            say(f"{len(cpus)} threads: round {round_ + 1} of {rounds}")
    return results


def _run_round(
    round_: int, workload: Workload, sides: Sequence[RemoteSide], results: Results
) -> None:
    by_side = results.seconds.setdefault(workload.name, {})
    chosen = results.batch_sizes.setdefault(workload.name, {})
    for side in sides:
        name = side.spec.name
        if side.spec.compute_type == "float32" and round_ % SLOW_EVERY:
            continue
        if name not in chosen:
            chosen[name] = side.best_batch_size(workload)
        if results.threads > 1:
            time.sleep(REST_SECONDS)
        by_side.setdefault(name, []).append(side.run(workload, chosen[name]))
