"""Wrong command lines, help, and errors of one line."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import bge_micro
from bge_micro import SentenceTransformer, __version__
from bge_micro.cli import main

from .conftest import Run

COMMANDS = ("embed", "similarity", "info", "convert")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("-V", "--version"):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([option])
        assert capsys.readouterr().out == f"bge-micro {__version__}\n"


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["embd", "a"], "did you mean embed?"),
        (["embed", "a", "--normalise"], "did you mean --normalize?; see bge-micro embed --help"),
        (["embed", "a", "--precision", "int9"], "did you mean int8?"),
        (["embed", "-i", "a", "-i", "b"], "-i/--input: is given twice"),
        (["embed", "a", "-o", "a.npy", "--output", "b.npy"], "-o/--output: is given twice"),
        (["serve", "--port", "1", "--port=2"], "--port: is given twice"),
        (["embed", "a", "--input-format", "csv"], "--input-format describes a file"),
    ],
)
def test_what_may_have_been_meant(run: Run, argv: list[str], message: str) -> None:
    result = run(*argv)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


@pytest.mark.parametrize(
    "command", [*COMMANDS, "index", "search", "serve", "bench", "export", "completion"]
)
def test_a_mistyped_option_of_any_command_is_recognised(
    run: Run, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main([command, "--help"])
    options = set(re.findall(r"--[a-z-]{4,}", capsys.readouterr().out)) - {"--help", "--version"}
    for option in options:
        wrong = option[:4] + option[5:]
        if wrong not in options:
            needed = ("-o", "x") if command == "index" else ()
            result = run(command, "bash", "x", *needed, wrong)
            assert result.code == 2
            assert f"did you mean {option}?" in result.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main([command, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: bge-micro {command} ")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND; see bge-micro --help"),
        (["fly"], "argument COMMAND: invalid choice: 'fly'"),
        (["embed"], "no texts: give TEXT arguments, -i FILE, or - for standard input"),
        (["similarity"], "no texts: give TEXT arguments, -i FILE, or - for standard input"),
        (["embed", "a", "-i", "f"], "give texts as arguments or by -i, not both"),
        (["embed", "a", "-"], "- means standard input, and no other text can be given with it"),
        (["embed", "a", "--field", "x"], "--field x names a key or column, and these are plain"),
        (["embed", "-", "--field", "x"], "--field x names a key or column, and these are plain"),
        (["embed", "-i", "x.txt", "--field", "x"], "--field x names a key or column, and these"),
        (["embed", "a", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["embed", "a", "--norm"], "unrecognized arguments: --norm"),
        (
            ["embed", "a", "--threads", "0"],
            "argument --threads: '0' is not a positive whole",
        ),
        (
            ["embed", "a", "--threads", "x"],
            "argument --threads: 'x' is not a positive whole",
        ),
        (["embed", "a", "--batch-size", "-1"], "argument --batch-size: '-1' is not a positive"),
        (["embed", "a", "--truncate-dim", "1.5"], "argument --truncate-dim: '1.5' is not a"),
        (["embed", "a", "--precision", "int4"], "argument --precision: invalid choice: 'int4'"),
        (["embed", "a", "--compute-type", "int4"], "argument --compute-type: invalid choice"),
        (["embed", "a", "--prompt", "x", "--prompt-name", "y"], "not allowed with argument"),
        (["embed", "a", "--format", "npy"], "npy goes to a file only: give -o FILE"),
        (["embed", "a", "--format", "npz"], "npz goes to a file only: give -o FILE"),
        (["embed", "a", "-o", "x.txt"], "x.txt does not say its format: let it end in .npy, .npz,"),
        (
            ["embed", "a", "-o", "x.npy", "--with-text"],
            "--with-text applies to JSONL and",
        ),
        (["embed", "-i", "x.json"], "x.json may be one JSON value, which is not read"),
        (["similarity", "a"], "similarity compares texts: give two or more"),
        (["convert", "a"], "the following arguments are required: OUT"),
        (["convert", "a.onnx", "b"], "an ONNX export holds no vocabulary: give --vocab FILE"),
        (["convert", "a", "b", "--vocab", "c"], "--vocab applies to ONNX exports, and SOURCE does"),
        (["convert", "a", "b", "--official"], "--official applies to ONNX exports"),
        (["convert", "a", "b", "--normalize"], "--normalize is said by a model folder itself"),
        (
            ["convert", "a.onnx", "b", "--vocab", "v", "--official", "--pooling", "cls"],
            "--pooling is already said by --official",
        ),
        (
            ["convert", "a.onnx", "b", "--vocab", "v", "--official", "--repo-id", "x/y"],
            "--repo-id is already said by --official",
        ),
    ],
)
def test_usage_errors(run: Run, argv: list[str], message: str) -> None:
    result = run(*argv)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("bge-micro: error: ")
    assert message in result.err
    assert result.err.count("\n") == (2 if "none: " in message else 1)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["embed", "-i", "none.txt"], "none.txt: No such file or directory"),
        (["embed", "-i", "."], ".: Is a directory"),
        (["embed", "a", "--model", "./none"], "none: expected a model folder, found no folder"),
        (
            ["embed", "a", "--prompt-name", "colour"],
            "default_prompt_name is 'colour'; prompts of this model: 'query', 'document'.",
        ),
        (["embed", "a", "--threads", "100000"], "threads is 100000, expected 1 to 1024."),
        (["embed", "a", "-o", "file/x.npy"], "file/x.npy: "),
        (
            ["embed", "a", "-o", "folder.npy"],
            "folder.npy: is a folder, expected the name of a file",
        ),
        (["convert", "./none", "out"], "none: expected a model folder, found no folder there."),
    ],
)
def test_failures(run: Run, tmp_path: Path, argv: list[str], message: str) -> None:
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "file").touch()
    result = run(*argv)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"bge-micro: error: {message}")
    assert result.err.count("\n") == (2 if "none: " in message else 1)


def test_environment_that_makes_no_sense(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bge_micro, "SentenceTransformer", SentenceTransformer)  # not a cached one
    monkeypatch.setenv("BGE_MICRO_ISA", "z80")
    for argv in (["embed", "a"], ["info"]):
        result = run(*argv)
        assert result.code == 1
        assert result.err.startswith("bge-micro: error: BGE_MICRO_ISA is 'z80'; this build has ")


def test_entry_point() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="bge-micro")
    assert script.load() is main


def test_option_before_and_after_texts(run: Run, tmp_path: Path) -> None:
    assert run("embed", "-o", "a.npy", "--normalize", "x", "y").code == 0
    assert run("embed", "x", "y", "-o", "b.npy", "--normalize").code == 0
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    assert np.load(tmp_path / "a.npy").shape == (2, 384)


@pytest.mark.parametrize("command", ["embed", "similarity", "index"])
def test_the_name_of_a_file_as_text_is_noticed_on_a_terminal(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (tmp_path / "my notes.txt").write_text("a line\n")
    argv = [command, "my notes.txt", "another text", *(["-o", "x"] if command == "index" else [])]
    assert "is encoded as a text" not in run(*argv).err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    result = run(*argv)
    assert result.code == 0
    assert "my notes.txt is encoded as a text; -i 'my notes.txt' reads the file." in result.err
    assert "another text is" not in result.err
