"""What this process may use: instruction set and threads. The environment is only read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bge_micro import _core

ISA_VARIABLE = "BGE_MICRO_ISA"
THREADS_VARIABLE = "BGE_MICRO_NUM_THREADS"
OPENMP_VARIABLE = "OMP_NUM_THREADS"

# More threads than this are a slip, not a wish; each costs a workspace.
_MOST_THREADS = 1024


class Choice(NamedTuple):
    """A value and why it was chosen, in words for people."""

    value: str
    reason: str


def choose_isa() -> Choice:
    """Choose the instruction set: BGE_MICRO_ISA, or the best that this CPU has.

    Raises:
        ValueError: BGE_MICRO_ISA names a set that this build or this CPU does not have, or that the
            operating system refuses to this process.
    """
    forced = os.environ.get(ISA_VARIABLE, "")
    sets = _core.instruction_sets()
    supported = [name for name, usable in sets if usable]
    refusals = _core.refusals()
    if not forced:
        better = "".join(f"; not {name}: {why}" for name, why in refusals.items())
        return Choice(supported[0], f"the best that this CPU supports{better}")
    if forced not in dict(sets):
        built = ", ".join(name for name, _ in sets)
        raise ValueError(f"{ISA_VARIABLE} is {forced!r}; this build has {built}.")
    if forced in refusals:
        raise ValueError(
            f"{ISA_VARIABLE} is {forced!r}, which cannot run here. {refusals[forced]}; "
            f"this process can use {', '.join(supported)}."
        )
    if forced not in supported:
        raise ValueError(
            f"{ISA_VARIABLE} is {forced!r}, which this CPU does not support; "
            f"it supports {', '.join(supported)}."
        )
    return Choice(forced, f"{ISA_VARIABLE} asks for it")


def choose_threads(threads: int | None = None) -> Choice:
    """Choose the number of threads.

    In this order: the argument, BGE_MICRO_NUM_THREADS, OMP_NUM_THREADS, and what the process may
    use: the CPUs of its affinity mask, at most its cgroup's quota, one a physical core.

    Raises:
        TypeError: `threads` is not an integer.
        ValueError: `threads` or BGE_MICRO_NUM_THREADS is not a number from 1 to 1024.
    """
    if threads is not None:
        return Choice(str(check_threads(threads)), "the argument")
    wanted = os.environ.get(THREADS_VARIABLE, "")
    if wanted:
        if not wanted.isdecimal() or not 1 <= int(wanted) <= _MOST_THREADS:
            raise ValueError(
                f"{THREADS_VARIABLE} is {wanted!r}, expected a number from 1 to {_MOST_THREADS}."
            )
        return Choice(wanted, f"{THREADS_VARIABLE} asks for it")
    # A list means nesting levels; the first is the outermost. Nonsense is OpenMP's to complain of.
    openmp = os.environ.get(OPENMP_VARIABLE, "").split(",")[0].strip()
    if openmp.isdecimal() and 1 <= int(openmp) <= _MOST_THREADS:
        return Choice(openmp, f"{OPENMP_VARIABLE} asks for it")
    return _usable_threads()


def check_threads(threads: int) -> int:
    """Return `threads` if it is a number of threads.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is not from 1 to 1024.
    """
    if isinstance(threads, bool) or not hasattr(threads, "__index__"):
        raise TypeError(f"threads is {threads!r}, expected an integer or None.")
    if not 1 <= threads <= _MOST_THREADS:
        raise ValueError(f"threads is {threads}, expected 1 to {_MOST_THREADS}.")
    return int(threads)


def _usable_threads() -> Choice:
    cpus = _affinity()
    candidates = [(len(cpus), "the CPUs that this process may run on")]
    cores = _physical_cores(cpus)
    if cores:
        candidates.append((cores, "the physical cores of these CPUs"))
    candidates.extend((max(1, int(quota)), "the cgroup's CPU quota") for quota in _quotas())
    count, reason = min(candidates, key=lambda candidate: candidate[0])
    return Choice(str(min(count, _MOST_THREADS)), reason)


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _physical_cores(cpus: set[int]) -> int:
    """Count the cores behind `cpus`; 0 where the system does not tell."""
    siblings = set()
    for cpu in cpus:
        path = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        text = _read(Path(path))
        if text is None:
            return 0
        siblings.add(text)
    return len(siblings)


def _quotas(
    root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc/self/cgroup")
) -> list[float]:
    """Return the CPU quotas, in CPUs, of this process's cgroups and all above them."""
    quotas = []
    for line in (_read(proc) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers == "":  # version 2
            for folder in _upwards(root, group):
                quota, _, period = (_read(folder / "cpu.max") or "max").partition(" ")
                quotas.append((quota, period))
        elif "cpu" in controllers.split(","):  # version 1
            for folder in _upwards(root / "cpu", group):
                quota = _read(folder / "cpu.cfs_quota_us") or "-1"
                quotas.append((quota, _read(folder / "cpu.cfs_period_us") or ""))
    return [
        int(quota) / int(period)
        for quota, period in quotas
        if quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0
    ]


def _upwards(root: Path, group: str) -> Iterator[Path]:
    """Yield the folder of a cgroup and of each above it, down to the root.

    Inside a container the group's path is often that of the host, so what is missing is passed
    over.
    """
    parts = [part for part in group.split("/") if part not in ("", "..")]
    for length in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:length])


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
