"""Encoding takes no more instructions than before: a check of speed without noise."""

from __future__ import annotations

import json
import shutil

import pytest

from core.instruction_count import (
    COMPUTE_TYPES,
    COUNTS,
    ISA,
    compiler,
    instructions_an_encode,
)
from core.isas import SUPPORTED

# A compiler's patch release may change this much; a lost tile or a second pass costs more.
MARGIN = 0.02

pytestmark = [
    pytest.mark.skipif(ISA not in SUPPORTED, reason=f"this CPU has no {ISA}"),
    pytest.mark.skipif(not shutil.which("valgrind"), reason="needs the package valgrind"),
    pytest.mark.skipif(not shutil.which("readelf"), reason="needs the package binutils"),
]


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_instructions_an_encode(compute_type: str) -> None:
    counts = json.loads(COUNTS.read_text())
    if compiler() not in counts:
        pytest.skip(f"no figure for {compiler()}: see core/instruction_count.py")
    expected = counts[compiler()][compute_type]
    count = instructions_an_encode(compute_type)
    change = count / expected - 1
    # If the count falls, write the new one down; otherwise it hides the next loss.
    assert abs(change) <= MARGIN, (
        f"{count:,} instructions, {change:+.1%} against {expected:,}; if that is meant, run "
        "PYTHONPATH=tests python -m core.instruction_count"
    )
