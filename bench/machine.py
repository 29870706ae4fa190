"""The machine that is measured: the CPU, its caches, the system, the CPUs to run on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def cpu_name() -> str:
    """Return the CPU's name, with family, model and stepping where the system tells them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    fields: dict[str, str] = {}
    for line in text.splitlines():
        field, _, value = line.partition(":")
        fields[field.strip()] = value.strip()
    name = fields.get("model name", platform.machine())
    numbers = [
        f"{field} {fields[field]}"
        for field in ("cpu family", "model", "stepping")
        if field in fields
    ]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def caches() -> str:
    """Return the caches of the first CPU, such as "32K + 1024K + 32768K"."""
    sizes = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if (folder / "type").read_text().strip() != "Instruction":
            sizes.append((folder / "size").read_text().strip())
    return " + ".join(sizes)


def usable_cpus() -> list[int]:
    """Return the CPUs this process may run on, one per core, the first core last.

    Two threads of one core share its units, and the first core gets the system's interrupts.
    """
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    cores: dict[str, int] = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        core = topology.read_text().strip() if topology.exists() else str(cpu)
        cores.setdefault(core, cpu)
    return sorted(cores.values(), reverse=True)


def run_on(cpu: int) -> None:
    """Keep this process on one CPU, if the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


def describe() -> dict[str, str]:
    """Return the facts for the start of a report."""
    return {
        "CPU": cpu_name(),
        "caches": caches(),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }
