"""The mutants of scripts/mutate.py fit the sources: each edit has its one place and its tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_each_mutant_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        pytest.skip("scripts/mutate.py limits CPU time, as POSIX does")
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from mutate import MUTANTS, tests_for

    misplaced = [
        (mutant.file, mutant.before)
        for mutant in MUTANTS
        if (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.before) != 1
    ]
    missing = [
        test for mutant in MUTANTS for test in tests_for(mutant) if not (ROOT / test).exists()
    ]
    sys.modules.pop("mutate")
    sys.modules.pop("mutation.mutants")
    assert misplaced == []
    assert missing == []
    assert len(MUTANTS) >= 60
    assert all(mutant.before != mutant.after for mutant in MUTANTS)
