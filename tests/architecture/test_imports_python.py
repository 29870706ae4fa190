"""The package's parts are floors: a module imports its own part and lower floors, nothing higher.

`FLOORS` is the only list of floors and their parts. Imports inside functions count, and so do
imports for type checkers only, because a reader of a module must know what it names. Within a part
there is no circle of modules either.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "bge_micro"
SOURCES = Path(__file__).parents[2] / "python" / PACKAGE

# From the lowest to the highest; the parts of a floor do not know of each other. A part is a
# module or a folder of the package, and `bge_micro` its own __init__.py, the public names.
FLOORS = (
    ("_core",),
    ("arrow", "atomic", "choices", "columns", "json_text", "progress", "tokenization"),
    ("batches", "checkpoint", "encoded", "inputs", "pair_inputs", "plan"),
    ("runtime", "similarity", "truncation"),
    ("options", "outputs", "quantize", "scores", "vector_files"),
    ("convert", "pipeline"),
    ("option_types", "results", "source"),
    ("loaded", "planning", "signatures"),
    ("compat", "score_signatures", "tokens"),
    ("encode",),
    ("aio",),
    ("cross_encoder", "model"),
    (PACKAGE,),
    ("integrations", "search", "server"),
    ("cli", "util"),
    ("__main__",),
)

pytestmark = pytest.mark.skipif(not SOURCES.is_dir(), reason="needs a checkout: reads its sources")


def modules(folder: Path) -> dict[str, str]:
    """Return the source of each module of the package, by its full name."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [PACKAGE, *path.relative_to(folder).with_suffix("").parts]
        found[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


def imports(sources: dict[str, str]) -> dict[str, set[str]]:
    """Return which modules of the package each module imports, anywhere in its source."""
    known = {*sources, f"{PACKAGE}._core"}
    graph: dict[str, set[str]] = {}
    for name, source in sources.items():
        graph[name] = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name}: imports are written with their full names"
                # A name of a package is a module of it, or something that its __init__.py holds.
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                graph[name] |= {each if each in known else node.module or "" for each in full}
        graph[name] &= known
    return graph


def part(module: str) -> str:
    """Return the part of the package that a module belongs to."""
    return PACKAGE if module == PACKAGE else module.split(".")[1]


def faults(graph: dict[str, set[str]]) -> Iterator[str]:
    """Tell what is wrong with these imports."""
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    for module, imported in graph.items():
        if part(module) not in floor:
            yield f"{module}: '{part(module)}' is on no floor of FLOORS"
            continue
        for other in sorted(imported):
            if part(other) != part(module) and floor.get(part(other), -1) >= floor[part(module)]:
                yield f"{module} imports {other}, which is not on a lower floor"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"a circle: {' <- '.join(error.args[1])}"


def test_no_import_runs_upward_or_in_a_circle() -> None:
    graph = imports(modules(SOURCES))
    assert not list(faults(graph))
    parts = {part(module) for module in graph} | {"_core"}
    assert parts == {name for floor in FLOORS for name in floor}, "FLOORS lists what there is"


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        ({"checkpoint.a": "import bge_micro.cli"}, "not on a lower floor"),
        ({"checkpoint.a": "from bge_micro import cli"}, "not on a lower floor"),
        ({"checkpoint.a": "from bge_micro.cli.b import c", "cli.b": ""}, "not on a lower floor"),
        ({"checkpoint": "def f():\n    from bge_micro import cli"}, "not on a lower floor"),
        ({"checkpoint": "if TYPE_CHECKING:\n    from bge_micro import cli"}, "on a lower floor"),
        ({"checkpoint": "from bge_micro import __version__"}, "not on a lower floor"),
        ({"atomic": "from bge_micro import choices", "choices": ""}, "not on a lower floor"),
        ({"cli.a": "from bge_micro.cli import b", "cli.b": "import bge_micro.cli.a"}, "a circle: "),
        ({"cli.a": "from bge_micro.cli import main"}, "a circle: "),
        ({"attic": ""}, "'attic' is on no floor"),
    ],
)
def test_faults_are_found(sources: dict[str, str], fault: str) -> None:
    whole = {PACKAGE: "", f"{PACKAGE}.cli": "from bge_micro.cli import a"}
    whole |= {f"{PACKAGE}.cli.a": ""} | {
        f"{PACKAGE}.{name}": text for name, text in sources.items()
    }
    (found,) = faults(imports(whole))
    assert fault in found
