"""Cycles of the ARM kernels' inner loops by LLVM's models of the CPUs' pipelines.

    python scripts/arm_cycles.py FOLDER [--mca llvm-mca-19]

FOLDER is a build for aarch64 (as `tests/emulation/aarch64.sh` leaves one in its cache): the loops
are read from its object files. Prints a Markdown table: cycles of one pass through the loop of the
largest tile, and for multiply-adds the share of the peak, which is what the same model gives for a
loop of that instruction alone. A model knows ports and latencies but no caches, and some are those
of relatives: LLVM describes Cortex-A76 by Cortex-A57, and Apple's cores by an early one.

Needs binutils for aarch64 (Debian's binutils-aarch64-linux-gnu) and llvm-mca of LLVM 19 or later.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from core.object_files import Loop, inner_loops  # noqa: E402

PASSES = 400


class Kernel(NamedTuple):
    """A loop: that with the most of an instruction among a function's loops without `without`."""

    name: str
    isa: str
    function: str
    instruction: str
    peak: bool  # whether the instruction is what the loop is for
    without: str = " "


class Core(NamedTuple):
    cpu: str
    isas: tuple[str, ...]


NEON, SDOT, SMMLA = "neon", "neon_dotprod", "neon_i8mm"
KERNELS = [
    Kernel("int8 linear, SMULL", NEON, "linear_int8", "smull", True),
    Kernel("int8 linear, SDOT", SDOT, "linear_int8", "sdot", True),
    Kernel("int8 linear, SMMLA", SMMLA, "linear_int8", "smmla", True),
    Kernel("keys, SMULL", NEON, "dot_products", "smull", True),
    Kernel("keys, SDOT", SDOT, "dot_products", "sdot", True),
    Kernel("keys, SMMLA", SMMLA, "dot_products", "smmla", True),
    Kernel("float32 linear", NEON, "linear_float32", "fmla", True, "fmul"),
    Kernel("softmax, 16 scores", NEON, "Int8Attention", "fmla", False, "fdiv"),
    Kernel("rounding, 16 values", NEON, "quantize_rows", "fmla", False),
    Kernel("LayerNorm, 16 values", NEON, "add_norm", "fmul", False),
]
CORES = [
    Core("cortex-a55", (NEON, SDOT)),
    Core("cortex-a57", (NEON,)),
    Core("cortex-a76", (NEON, SDOT)),
    Core("neoverse-n1", (NEON, SDOT)),
    Core("neoverse-v1", (NEON, SDOT, SMMLA)),
    Core("neoverse-v2", (NEON, SDOT, SMMLA)),
    Core("apple-m1", (NEON, SDOT)),
]
# The peak is that of a loop of one instruction with as many sums; two registers are operands.
SUMS = 24


def find_loop(folder: Path, kernel: Kernel) -> Loop:
    path = next(folder.rglob(f"isa_{kernel.isa}.dir/cpp/isa/{kernel.isa}.cpp.o"))
    loops = [
        loop
        for loop in inner_loops(path)
        if kernel.function in loop.function and not loop.count(kernel.without)
    ]
    return max(loops, key=lambda loop: (loop.count(kernel.instruction), -len(loop.body)))


def source(loop: Loop) -> str:
    """Return the loop as assembly; its jump has no effect on the model."""
    lines = []
    for instruction in loop.body:
        operands = re.sub(r"[0-9a-f]+ <.*?>", "0", instruction.operands.split("//")[0])
        lines.append(f"{instruction.mnemonic} {operands}")
    return "\n".join(lines)


def alone(kernel: Kernel, loop: Loop) -> set[str]:
    """Return loops of the instruction alone, one for each of its forms in the loop.

    Every instruction has a sum of its own, and operands that do not change.
    """
    forms = {
        tuple(re.split(r"v\d+", f"{i.mnemonic} {i.operands.split('//')[0]}"))  # between registers
        for i in loop.body
        if i.mnemonic.startswith(kernel.instruction)
    }
    return {
        "\n".join(f"{what}v{s}{size}v30{operand}v31{last}" for s in range(SUMS))
        for what, size, operand, last in forms
    }


def cycles(mca: str, cpu: str, assembly: str) -> float:
    """Return the cycles of one pass through the assembly, in a steady state."""
    done = subprocess.run(
        [mca, "-mtriple=aarch64", f"-mcpu={cpu}", f"-iterations={PASSES}", "-"],
        input=assembly,
        check=True,
        capture_output=True,
        text=True,
    )
    total = re.search(r"Total Cycles: +(\d+)", done.stdout)
    assert total
    return int(total[1]) / PASSES


def cell(mca: str, core: Core, kernel: Kernel, loop: Loop) -> str:
    if kernel.isa not in core.isas:
        return ""
    taken = cycles(mca, core.cpu, source(loop))
    if not kernel.peak:
        return f"{taken:.0f}"
    fastest = min(cycles(mca, core.cpu, form) for form in alone(kernel, loop)) / SUMS
    least = fastest * loop.count(kernel.instruction)
    return f"{taken:.1f} ({least / taken:.0%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mca", default="llvm-mca-19")
    given = parser.parse_args()
    print("| loop | " + " | ".join(core.cpu for core in CORES) + " |")
    print("|---" * (len(CORES) + 1) + "|")
    with tempfile.TemporaryDirectory() as tools:  # the tests call binutils by their plain names
        objdump = subprocess.check_output(["which", "aarch64-linux-gnu-objdump"], text=True).strip()
        Path(tools, "objdump").symlink_to(objdump)
        os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
        for kernel in KERNELS:
            loop = find_loop(given.folder, kernel)
            cells = [cell(given.mca, core, kernel, loop) for core in CORES]
            print(f"| {kernel.name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
