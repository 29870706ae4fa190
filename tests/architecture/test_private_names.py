"""The doors of the package use public names of the model and of each other only."""

from __future__ import annotations

import ast

import pytest

from architecture.test_imports_python import SOURCES, modules

DOORS = ("bge_micro.cli", "bge_micro.integrations", "bge_micro.search", "bge_micro.server")

pytestmark = pytest.mark.skipif(not SOURCES.is_dir(), reason="needs a checkout: reads its sources")


def private_attributes(source: str) -> tuple[set[str], set[str]]:
    """Return the private attributes that a module defines, and those that it uses."""
    own: set[str] = set()
    used: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            own.add(node.name)
        elif isinstance(node, ast.Attribute):
            by_itself = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            (own if by_itself else used).add(node.attr)
    return own, {name for name in used if name.startswith("_") and not name.endswith("__")}


def foreign_uses(sources: dict[str, str]) -> dict[str, set[str]]:
    """Return, for each door, the private attributes that only other modules of ours define."""
    attributes = {name: private_attributes(source) for name, source in sources.items()}
    ours = set().union(*(own for own, _ in attributes.values()))
    found = {
        name: (used - own) & ours
        for name, (own, used) in attributes.items()
        if name.startswith(DOORS)
    }
    return {name: uses for name, uses in found.items() if uses}


def test_doors_use_public_names() -> None:
    assert foreign_uses(modules(SOURCES)) == {}


def test_a_private_use_is_found() -> None:
    model = "class Model:\n    def __init__(self):\n        self._pipeline = 1\n"
    door = "import argparse\nargparse._Other\ndef run(model):\n    return model._pipeline\n"
    found = foreign_uses({"bge_micro.model": model, "bge_micro.server.x": door})
    assert found == {"bge_micro.server.x": {"_pipeline"}}
