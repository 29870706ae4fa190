"""Run the command line inside this process, and return what it writes."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import bge_micro
from bge_micro import SentenceTransformer
from bge_micro.cli import main

Run = Callable[..., "Result"]

_models: dict[str, SentenceTransformer] = {}


def load_once(**options: Any) -> SentenceTransformer:
    """Load a model once: it is most of a test's time."""
    key = repr(sorted(options.items()))
    if key not in _models:
        _models[key] = SentenceTransformer(**options)
    return _models[key]


@dataclass(frozen=True)
class Result:
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def model() -> SentenceTransformer:
    """Return the bundled model, to compare with."""
    return load_once()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Return a function that runs a command line in an empty folder.

    With `columns` its standard output seems to be a terminal of that width.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bge_micro, "SentenceTransformer", load_once)

    def run_main(*argv: str, stdin: bytes = b"", columns: int = 0) -> Result:
        if columns:
            monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
            monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(argv)
        return Result(code, *capsys.readouterr())

    return run_main
