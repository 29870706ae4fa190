"""Saves of an index beside readers and kills: the old or the new one, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="forks and kills")

slow = pytest.mark.slow


def run(*arguments: str | int) -> dict[str, int]:
    """Run index_saves.py; return what it has seen."""
    done = subprocess.run(
        [sys.executable, "-m", "reliability.index_saves", *map(str, arguments)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    print(arguments[0], found)  # the figures, for `pytest -rP`
    return found


@pytest.mark.parametrize("count", [200, pytest.param(4500, marks=slow)])
def test_loads_beside_saves(tmp_path: Path, count: int) -> None:
    found = run("loads", tmp_path / "index", count)
    assert found["whole"] >= count
    assert found.keys() == {"whole", "saves", "generations"}, "no other outcome"
    assert found["saves"] > 2
    assert found["generations"] > 2


@pytest.mark.parametrize("count", [200, pytest.param(3000, marks=slow)])
def test_many_writers_at_once(tmp_path: Path, count: int) -> None:
    found: Counter[str] = Counter()
    for attempt in range(10):  # whether two meet depends on the machine
        found.update(run("writers", tmp_path / f"indexes{attempt}", count))
        if found["saved"] and found["failed"] and found["busy"]:
            break
    assert found.keys() <= {"saved", "failed", "busy", "whole", "none"}
    assert min(found["saved"], found["failed"], found["busy"]) > 0
    assert found["whole"] > 0


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=slow)])
def test_kills_at_random_moments(tmp_path: Path, count: int) -> None:
    found = run("kills", tmp_path / "index", count)
    assert found["killed"] >= count
    assert found["old"] > 0
    assert found["left files"] > 0, "kills came while files were there"


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=slow)])
def test_kills_before_each_call_into_c(tmp_path: Path, step: int) -> None:
    found = run("calls", tmp_path / "index", step)
    assert found["finished"] == 1
    assert found["killed"] > 500 / step
    assert found["old"] > found["new"] >= 1
    assert found["left files"] > 0


@pytest.mark.parametrize("step", [11, pytest.param(1, marks=slow)])
def test_appends_killed_before_each_call_into_c(tmp_path: Path, step: int) -> None:
    found = run("appends", tmp_path / "index", step)
    assert found["finished"] == 1
    assert found["killed"] > 500 / step
    assert found["old"] > found["new"] >= 1
