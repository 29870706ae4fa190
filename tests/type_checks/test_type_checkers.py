"""mypy --strict and pyright report the wrong calls, each of them, and none of the right ones."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import bge_micro

FOLDER = Path(__file__).parent
FILES = [FOLDER / "right_calls.py", FOLDER / "wrong_calls.py"]
PACKAGE = Path(bge_micro.__file__).parents[1]
STUBS = FOLDER / "stubs"  # so that tensors have a type where torch is not installed


def marked_lines() -> set[tuple[str, int]]:
    """Return the file and number of each line that ends in `# wrong`."""
    return {
        (file.name, number)
        for file in FILES
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"  # wrong\b", line)
    }


def test_there_are_calls_of_each_kind() -> None:
    assert {name for name, _ in marked_lines()} == {"wrong_calls.py"}
    assert len(marked_lines()) > 50


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy(tmp_path: Path) -> None:
    # As somebody who uses the package: with no configuration, and no reports about the package.
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "mypy",
                "--strict",
                "--config-file=",
                "--follow-imports=silent",
            ),
            f"--cache-dir={tmp_path}",
            *FILES,
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"MYPYPATH": os.pathsep.join([str(PACKAGE), str(STUBS)])},
        timeout=300,
        check=False,
    )
    found = re.findall(r"^(?:.*[/\\])?(\w+\.py):(\d+): error: ", done.stdout, re.MULTILINE)
    assert {(name, int(line)) for name, line in found} == marked_lines(), done


@pytest.mark.skipif(find_spec("pyright") is None, reason="pyright is not installed")
def test_pyright(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("pyright needs node, which it would fetch")
    for file in FILES:
        shutil.copy(file, tmp_path)
    settings = {"extraPaths": [str(PACKAGE), str(STUBS)], "reportMissingModuleSource": False}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "-p", str(tmp_path)],
        capture_output=True,
        text=True,
        # The wrapper of PyPI takes the machine's node, and says nothing of newer versions.
        env=os.environ | {"PYRIGHT_PYTHON_GLOBAL_NODE": "1", "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        timeout=300,
        check=False,
    )
    if done.returncode != 1 and not done.stdout.startswith("{"):
        pytest.skip(f"pyright could not be fetched from the npm registry: {done.stderr[-200:]}")
    found = {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1)
        for each in json.loads(done.stdout)["generalDiagnostics"]
        if each["severity"] == "error"
    }
    assert found == marked_lines(), done.stdout
