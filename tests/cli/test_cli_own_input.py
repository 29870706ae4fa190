"""An output that is an input of the same command is refused, by whatever name it goes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bge_micro.checkpoint import bundled_folder
from patience import PATIENCE

from .conftest import Run

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")

TEXT = b'"a"\n"b"\n'


def other_path(path: Path) -> Path:
    (path.parent / "folder").mkdir()
    return path.parent / "folder" / ".." / path.name


def symbolic(path: Path) -> Path:
    path.with_name("link").symlink_to(path)
    return path.with_name("link")


def hard(path: Path) -> Path:
    os.link(path, path.with_name("hard"))
    return path.with_name("hard")


ALIASES = [lambda path: path, other_path, symbolic, hard]


@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("in.jsonl", ["embed", "-i", "in.jsonl", "--format", "jsonl", "-o"]),
        ("in.png", ["similarity", "-i", "in.png", "--input-format", "jsonl", "--plot"]),
        ("index/texts.jsonl", ["index", "-o", "index", "-i"]),
        ("m/model.safetensors", ["embed", "a", "--model", "m", "--format", "npy", "-o"]),
        ("m/config.json", ["embed", "a", "--model", "m", "--format", "npy", "-o"]),
    ],
)
def test_an_output_that_is_an_input(
    run: Run, tmp_path: Path, name: str, command: list[str], alias: Callable[[Path], Path]
) -> None:
    if command[0] == "similarity":
        pytest.importorskip("matplotlib", reason="needs the extra bge-micro[plot]")
    path = tmp_path / name
    if name.startswith("m/"):
        shutil.copytree(bundled_folder(), tmp_path / "m")
    elif name.startswith("index/"):
        assert run("index", "a", "b", "-o", "index").code == 0
        path = next((tmp_path / "index").rglob("*texts*.jsonl"))
    else:
        path.write_bytes(TEXT)
    before = path.read_bytes()
    given = alias(path)
    if command[0] == "similarity" and given.suffix != ".png":
        given = given.rename(given.with_suffix(".png"))
    result = run(*command, str(given))
    assert (result.code, result.out) == (2, "")
    assert "are the same file; write to another one" in result.err
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", ["embed - -o in.jsonl < in.jsonl", "embed -i in.jsonl >> hard"])
def test_standard_streams(tmp_path: Path, command: str) -> None:
    """The second would read what it has written, without an end."""
    (tmp_path / "in.jsonl").write_bytes(TEXT)
    os.link(tmp_path / "in.jsonl", tmp_path / "hard")
    line = f"{sys.executable} -m bge_micro {command}"
    done = subprocess.run(
        line,
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "are the same file" in done.stderr
    assert (tmp_path / "in.jsonl").read_bytes() == TEXT


@pytest.mark.parametrize("alias", ALIASES[:3])
@pytest.mark.parametrize("command", ["convert", "export --model"])
def test_folders_are_never_replaced(
    run: Run, tmp_path: Path, command: str, alias: Callable[[Path], Path]
) -> None:
    folder = shutil.copytree(bundled_folder(), tmp_path / "m")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = run(*command.split(), str(folder), str(alias(folder)))
    assert result.code == 1
    assert "exists and is not an empty folder" in result.err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("alias", ALIASES)
def test_export_and_convert(run: Run, tmp_path: Path, alias: Callable[[Path], Path]) -> None:
    shutil.copytree(bundled_folder(), tmp_path / "m")
    for name, command in (
        ("m/model.safetensors", ["export", "--model", "m", "--format", "onnx"]),
        ("in.onnx", ["convert", "in.onnx", "--vocab", "vocab.txt"]),
        ("vocab.txt", ["convert", "in.onnx", "--vocab", "vocab.txt"]),
        ("texts.txt", ["convert", "m", "--calibrate", "texts.txt"]),
    ):
        path = tmp_path / name
        if not path.exists():
            path.write_bytes(TEXT)
        before = path.read_bytes()
        given = alias(path)
        result = run(*command, str(given))
        assert result.code == 2, result.err
        assert "are the same file; write to another one" in result.err
        assert path.read_bytes() == before
        if given != path and given.parent == path.parent:
            given.unlink()
        shutil.rmtree(path.parent / "folder", ignore_errors=True)


def test_what_an_interrupted_run_has_left_is_no_input(run: Run, tmp_path: Path) -> None:
    left = tmp_path / ".v.npy.0123456789abcdef.unfinished"
    left.write_bytes(TEXT)
    result = run("embed", "-i", left.name, "-o", "v.npy")
    assert result.code == 2
    assert "are the same file" in result.err
    assert left.read_bytes() == TEXT


def test_other_files_are_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(TEXT)
    (tmp_path / "copy.jsonl").write_bytes(TEXT)
    assert run("embed", "-i", "in.jsonl", "-o", "copy.jsonl").code == 0
    assert run("index", "-i", "in.jsonl", "-o", "index").code == 0
    assert run("index", "-i", "in.jsonl", "-o", "index").code == 0
    shutil.copytree(bundled_folder(), tmp_path / "m")
    for _ in range(2):
        assert run("embed", "a", "--model", "m", "-o", "m/vectors.safetensors").code == 0
