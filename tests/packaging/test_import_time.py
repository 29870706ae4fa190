"""The time of importing, compared with `import numpy` in new interpreters, in turns."""

from __future__ import annotations

import statistics
import subprocess
import sys

import pytest

NUMPY = "import numpy"
PACKAGE = "import bge_micro"
CLASS = "from bge_micro import SentenceTransformer"


def cpu_seconds(code: str) -> float:
    """Return the CPU time of a fresh interpreter that runs the code: a busy machine's is the same.

    Nearly the same, that is: cores that share their units and caches do slow each other down.
    """
    code += "; import time; print(time.process_time())"
    child = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return float(child.stdout)


def median_cpu_seconds(codes: list[str], rounds: int) -> list[float]:
    """Return the median of each over interleaved runs."""
    for code in codes:
        cpu_seconds(code)  # compiles and caches what is not yet
    runs = [[cpu_seconds(code) for code in codes] for _ in range(rounds)]
    medians = [statistics.median(column) for column in zip(*runs, strict=True)]
    print(", ".join(f"{code}: {s:.3f} s" for code, s in zip(codes, medians, strict=True)))
    return medians


def test_import_is_quick() -> None:
    numpy, package, whole = median_cpu_seconds([NUMPY, PACKAGE, CLASS], 7)
    assert package <= numpy + 0.05
    assert whole <= 2 * numpy


@pytest.mark.slow
def test_import_over_numpy() -> None:
    numpy, package, whole = median_cpu_seconds([NUMPY, PACKAGE, CLASS], 40)
    assert package <= numpy + 0.05
    assert whole <= 2 * numpy
