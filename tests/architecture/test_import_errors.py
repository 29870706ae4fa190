"""An ImportError that tells how to install a package has the package's name, for programs."""

from __future__ import annotations

import ast

import pytest

from architecture.test_imports_python import SOURCES, modules

pytestmark = pytest.mark.skipif(not SOURCES.is_dir(), reason="needs a checkout: reads its sources")


def nameless(source: str) -> list[int]:
    """Return the lines of calls of ImportError without the keyword name."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "ImportError"
        and all(keyword.arg != "name" for keyword in node.keywords)
    ]


def test_import_errors_have_names() -> None:
    found = {name: nameless(source) for name, source in modules(SOURCES).items()}
    assert {name: lines for name, lines in found.items() if lines} == {}
    assert nameless("raise ImportError('x')\nraise ImportError('x', name='y')") == [1]
