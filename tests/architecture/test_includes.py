"""The core's folders are floors: a file includes its own floor and lower ones, never a higher one.

`FLOORS` is the only list of floors and what each may include. Within a floor there is no circle of
files either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CPP = Path(__file__).parents[2] / "cpp"

# From the lowest to the highest, with what each may include.
FLOORS: dict[str, set[str]] = {
    "memory": set(),
    "parallel": set(),
    "tokenize": set(),
    "kernels": {"memory"},
    "isa": {"kernels"},
    "model": {"memory", "parallel", "kernels"},
    "search": {"memory", "parallel", "kernels"},
    "engine": {"memory", "parallel", "kernels", "isa", "model"},
    "bindings": {"memory", "parallel", "tokenize", "kernels", "isa", "model", "search", "engine"},
}

pytestmark = pytest.mark.skipif(not CPP.is_dir(), reason="needs a checkout: reads its C++ sources")


def includes(root: Path) -> dict[str, set[str]]:
    """Return what each C++ file includes of its own project, as paths from `root`."""
    return {
        path.relative_to(root).as_posix(): set(
            re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.MULTILINE)
        )
        for path in sorted(root.rglob("*"))
        if path.suffix in (".h", ".cpp", ".inc")
    }


def floor(file: str) -> str:
    """Return a file's folder; for a file outside of folders, as engine.h is, its stem."""
    return file.split("/")[0].split(".")[0]


def faults(files: dict[str, set[str]]) -> Iterator[str]:
    """Tell what is wrong with the includes of these files."""
    for file, included in files.items():
        if floor(file) not in FLOORS:
            yield f"{file}: '{floor(file)}' is no floor of FLOORS"
            continue
        for other in sorted(included):
            if other not in files:
                yield f"{file}: includes {other}, which is not a path from cpp/"
            elif floor(other) not in {floor(file), *FLOORS[floor(file)]}:
                yield f"{file}: {floor(file)} may not include {floor(other)}: {other}"
    try:
        TopologicalSorter(files).prepare()
    except CycleError as error:
        yield f"a circle: {' <- '.join(error.args[1])}"


def test_floors_only_use_lower_ones() -> None:
    order = list(FLOORS)
    for number, (name, lower) in enumerate(FLOORS.items()):
        assert lower <= set(order[:number]), name


def test_includes_never_run_upward_or_in_a_circle() -> None:
    files = includes(CPP)
    assert {floor(file) for file in files} == set(FLOORS)
    assert not list(faults(files))


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"kernels/a.h": {"model/b.h"}, "model/b.h": set()}, "kernels may not include model"),
        ({"search/a.h": {"isa/b.h"}, "isa/b.h": set()}, "search may not include isa"),
        ({"model/a.h": {"model/b.h"}, "model/b.h": {"model/a.h"}}, "a circle: model/"),
        ({"model/a.h": {"b.h"}}, "includes b.h, which is not a path from cpp/"),
        ({"attic/a.h": set()}, "'attic' is no floor"),
    ],
)
def test_faults_are_found(files: dict[str, set[str]], fault: str) -> None:
    (found,) = faults(files)
    assert fault in found
