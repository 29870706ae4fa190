"""Measures the machine's peak for each instruction (bench/peak.cpp)."""

from __future__ import annotations

import ctypes
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.files import HIDDEN

SOURCE = Path(__file__).with_name("peak.cpp")
LAYERS, INTERMEDIATE = 3, 1536


@dataclass(frozen=True)
class Instruction:
    """A multiply-add instruction: its name in peak.cpp, and its name in reports."""

    probe: str
    name: str


# The instruction that the linear kernels of each instruction set use.
INSTRUCTIONS = {
    ("avx512vnni", "int8"): Instruction("vnni512", "VPDPBUSD, 512 bits"),
    ("avx512vnni", "float32"): Instruction("fma512", "VFMADD, 512 bits"),
    ("avx2", "int8"): Instruction("maddubs256", "VPMADDUBSW alone, 256 bits"),
    ("avx2", "float32"): Instruction("fma256", "VFMADD, 256 bits"),
    ("neon_dotprod", "int8"): Instruction("sdot128", "SDOT"),
    ("neon_dotprod", "float32"): Instruction("fma128", "FMLA"),
    ("neon", "int8"): Instruction("smlal128", "SMLAL"),
    ("neon", "float32"): Instruction("fma128", "FMLA"),
}


class PeakProbe:
    """The compiled probe."""

    def __init__(self, folder: Path) -> None:
        """Compile it into a folder.

        Raises:
            OSError, subprocess.CalledProcessError: There is no C++ compiler, or it fails.
        """
        library = folder / "peak.so"
        compiler = os.environ.get("CXX", "c++")
        subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", "-o", library, SOURCE], check=True, text=True
        )
        self._function = ctypes.CDLL(str(library)).peak_multiply_adds
        self._function.argtypes = [ctypes.c_char_p, ctypes.c_double]
        self._function.restype = ctypes.c_double

    def multiply_adds(self, instruction: Instruction, seconds: float = 0.01) -> float:
        """Return multiply-adds a second on the current CPU."""
        return float(self._function(instruction.probe.encode(), seconds))


def linear_multiply_adds() -> int:
    """Return the multiply-adds of all linears, for one token."""
    return LAYERS * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * INTERMEDIATE)


def all_multiply_adds(tokens: float) -> float:
    """Return the multiply-adds of a text with `tokens` tokens: linears, scores, weighted values."""
    return tokens * linear_multiply_adds() + 2 * LAYERS * HIDDEN * tokens * tokens
