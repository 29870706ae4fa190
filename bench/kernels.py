"""Each kernel's multiply-adds a second, as a share of its instruction's peak on this machine.

The probe runs next to the kernel in every round, because a machine's clock changes.
A linear's share counts the tile and its conversion to float: no GELU, no quantising of its input.
Its weights stay in the cache, as they do from block to block where the cache is large enough.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.files import HEADS, HIDDEN
from bench.peak import INSTRUCTIONS, INTERMEDIATE, Instruction, PeakProbe
from bench.stats import Summary, seconds_of, summary

# (inner, outer) of the model's four linears: query, key and value; attention output; up; down.
SHAPES = (
    (HIDDEN, 3 * HIDDEN),
    (HIDDEN, HIDDEN),
    (HIDDEN, INTERMEDIATE),
    (INTERMEDIATE, HIDDEN),
)
ROWS = (15, 23, 48, 128, 300)
ATTENTION_TOKENS = (23, 128, 300, 512)
Run = Callable[[int], list[float]]  # seconds for this many calls
SECONDS = 0.005  # of the kernel, then of the probe, per round; the median call counts


@dataclass(frozen=True)
class KernelSpeed:
    """One kernel on one shape.

    Attributes:
        kernel: Such as "linear int8 avx512vnni".
        shape: Such as "384 x 1152".
        rows: Rows of a linear's input, or tokens of attention.
        instruction: The instruction whose peak it is.
        rate: Multiply-adds a second.
        peak: The same of the instruction.
        share: Their ratio, round by round.
    """

    kernel: str
    shape: str
    rows: int
    instruction: str
    rate: Summary
    peak: Summary
    share: Summary


def measure_kernels(probe: PeakProbe, rounds: int) -> list[KernelSpeed]:
    """Measure the linears and attention of every instruction set except the scalar one."""
    from bge_micro import _core

    sets = [name for name, usable in _core.instruction_sets() if usable]
    speeds = []
    for (isa, compute), instruction in INSTRUCTIONS.items():
        if isa not in sets:
            continue
        for inner, outer in SHAPES:
            for rows in ROWS:
                run = _linear(isa, compute, rows, inner, outer)
                work = rows * inner * outer
                name, shape = f"linear {compute} {isa}", f"{inner} x {outer}"
                speeds.append(_speed(name, shape, rows, run, work, instruction, probe, rounds))
        for tokens in ATTENTION_TOKENS:
            run = _attention(isa, compute, tokens)
            work = 2 * tokens * tokens * HIDDEN
            name, shape = f"attention {compute} {isa}", f"{HEADS} heads"
            speeds.append(_speed(name, shape, tokens, run, work, instruction, probe, rounds))
    return speeds


def _speed(
    kernel: str,
    shape: str,
    rows: int,
    run: Run,
    work: int,
    instruction: Instruction,
    probe: PeakProbe,
    rounds: int,
) -> KernelSpeed:
    calls = max(3, round(SECONDS / min(run(5))))
    rates, peaks = [], []
    for _ in range(rounds):
        rates.append(work / statistics.median(run(calls)))
        peaks.append(probe.multiply_adds(instruction, SECONDS))
    shares = [rate / peak for rate, peak in zip(rates, peaks, strict=True)]
    return KernelSpeed(
        kernel, shape, rows, instruction.name, summary(rates), summary(peaks), summary(shares)
    )


def _linear(isa: str, compute: str, rows: int, inner: int, outer: int) -> Run:
    from bge_micro._core import kernels

    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, inner), np.float32)
    bias = np.zeros(outer, np.float32)
    if compute == "float32":
        weight = rng.standard_normal((outer, inner), np.float32)
        return lambda n: kernels.linear_seconds(isa, compute, x, weight, None, bias, n)
    # Small weights, as if one outlier set the matrix's scale: avx2 then has almost no extra steps.
    codes = np.clip(np.rint(rng.standard_normal((outer, inner)) * 12), -127, 127).astype(np.int8)
    scale = np.full(outer, 0.01, np.float32)
    return lambda n: kernels.linear_seconds(isa, compute, x, codes, scale, bias, n)


def _attention(isa: str, compute: str, tokens: int) -> Run:
    from bge_micro._core import layers

    rng = np.random.default_rng(0)
    qkv = rng.standard_normal((tokens, 3 * HIDDEN), np.float32)

    return lambda n: [
        seconds_of(lambda: layers.attention(isa, compute, qkv, HEADS)) for _ in range(n)
    ]
