"""`bge-micro embed --resume`: what a broken run has done is neither lost nor done twice."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from bge_micro.atomic import find_own
from bge_micro.cli import partial_file
from bge_micro.cli.texts import Row

from .conftest import Run

posix = pytest.mark.skipif(sys.platform == "win32", reason="links, modes and locks of POSIX")


def journal_of(target: Path) -> Path:
    (journal,) = find_own(target, "journal")
    return journal


FORMATS = ["npy", "npz", "jsonl", "safetensors", "parquet"]
TEXTS = [f"line number {number}" for number in range(23)]
GOOD = "".join(f"{text}\n" for text in TEXTS).encode()
BAD = GOOD.replace(b"number 17", b"number \xff")


@pytest.fixture(autouse=True)
def journal_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_file, "JOURNAL_SECONDS", 0.0)


@pytest.fixture
def broken(run: Run, tmp_path: Path) -> Path:
    """Leave a run unfinished after 16 of 23 rows; return the journal."""
    (tmp_path / "in.txt").write_bytes(BAD)
    result = run("embed", "-i", "in.txt", "--batch-size", "4", "-o", "v.npy")
    assert result.code == 1
    assert "v.npy: 16 rows are done and kept; the same command with --resume goes" in result.err
    (tmp_path / "in.txt").write_bytes(GOOD)
    return journal_of(tmp_path / "v.npy")


@pytest.mark.parametrize("ending", FORMATS)
def test_a_resumed_run_gives_the_bytes_of_an_unbroken_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs the extra bge-micro[arrow]")
    argv = ["embed", "-", "--batch-size", "4"]
    argv += ["--with-text"] if ending in ("jsonl", "parquet") else []
    assert run(*argv, "-o", f"whole.{ending}", stdin=GOOD).code == 0
    name = f"v.{ending}"
    assert run(*argv, "-o", name, stdin=BAD).code == 1
    assert not (tmp_path / name).exists()
    encoded = []
    original = partial_file.PartialFile.note

    def note(self, block, truncated):  # type: ignore[no-untyped-def]
        encoded.extend(row.index for row in block)
        original(self, block, truncated)

    monkeypatch.setattr(partial_file.PartialFile, "note", note)
    result = run(*argv, "-o", name, "--resume", stdin=GOOD)
    assert (result.code, result.out, result.err) == (0, "", "")
    assert encoded == list(range(16, 23))  # nothing is done twice
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole.{ending}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, f"whole.{ending}"])


@pytest.mark.usefixtures("broken")
def test_without_resume_a_run_begins_anew(run: Run, tmp_path: Path) -> None:
    other = b"quite\ndifferent\n"
    assert run("embed", "-", "-o", "v.npy", stdin=other).code == 0
    assert run("embed", "-", "-o", "w.npy", stdin=other).code == 0
    assert (tmp_path / "v.npy").read_bytes() == (tmp_path / "w.npy").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_resume_without_anything_to_resume(run: Run, tmp_path: Path) -> None:
    assert run("embed", "a", "-o", "v.npy", "--resume").code == 0
    assert run("embed", "a", "-o", "v.npy", "--resume").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--precision", "int8"], "space_id is 'weights="),
        (["--normalize"], "space_id is 'weights="),
        (["--prompt", "x"], "prompt is None there and 'x' here"),
        (["--format", "npz"], "format is '.npy' there and 'npz' here"),
        (["--batch-size", "5"], "batch_size is 4 there and 5 here"),
        (["--errors", "skip"], "errors is 'strict' there and 'skip' here"),
        (["--skip-blank"], "skip_blank is False there and True here"),
    ],
)
def test_other_options_are_refused(
    run: Run, tmp_path: Path, options: list[str], message: str
) -> None:
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    size = [] if "--batch-size" in options else ["--batch-size", "4"]
    result = run("embed", "-i", "in.txt", *size, "-o", "v.npy", "--resume", *options)
    assert result.code == 1
    assert "the unfinished work is of another kind" in result.err
    assert message in result.err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("data", [GOOD.replace(b"number 3", b"number x"), GOOD[:100], b""])
def test_another_input_is_refused_and_nothing_is_lost(
    run: Run, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "in.txt").write_bytes(data)
    argv = ["embed", "-i", "in.txt", "--batch-size", "4", "-o", "v.npy", "--resume"]
    result = run(*argv)
    assert result.code == 1
    assert "the input is not what the unfinished run has read: its first 16 rows" in result.err
    (tmp_path / "in.txt").write_bytes(GOOD)
    assert run(*argv).code == 0


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_journal_line_that_was_cut_off(run: Run, tmp_path: Path, broken: Path, cut: int) -> None:
    """The line before is true too: the partial file only grows."""
    assert run("embed", "-i", "in.txt", "--batch-size", "4", "-o", "whole.npy").code == 0
    broken.write_bytes(broken.read_bytes()[:-cut])
    argv = ["embed", "-i", "in.txt", "--batch-size", "4", "-o", "v.npy", "--resume"]
    assert run(*argv).code == 0
    assert (tmp_path / "v.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_a_partial_file_that_was_cut_off(run: Run, tmp_path: Path, broken: Path) -> None:
    partial = broken.with_suffix(".unfinished")
    partial.write_bytes(partial.read_bytes()[:-1])
    argv = ["embed", "-i", "in.txt", "--batch-size", "4", "-o", "v.npy", "--resume"]
    result = run(*argv)
    assert result.code == 1
    assert "is shorter than its journal says; remove it." in result.err
    assert len(broken.read_text().splitlines()) > 1


@posix
def test_two_runs_of_one_output(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "v.npy"
    with partial_file.resumable(target, {}, resume=False, tell=print) as partial:
        partial.file.write(b"mine")
        result = run("embed", "a", "-o", "v.npy")
        assert result.code == 1
        assert "v.npy: another process is writing it." in result.err
        partial.publish(None)
    assert target.read_bytes() == b"mine"


@posix
def test_unfinished_files_have_the_permissions_of_their_target(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(BAD)
    for name, mode in (("a.npy", 0o600), ("b.npy", 0o640), ("c.npy", 0o444)):
        (tmp_path / name).write_bytes(b"old")
        (tmp_path / name).chmod(mode)
        command = ("embed", "-i", "in.txt", "--batch-size", "4", "-o", name)
        assert run(*command).code == 1
        left = [*find_own(tmp_path / name, "journal"), *find_own(tmp_path / name, "unfinished")]
        assert [stat.S_IMODE(path.stat().st_mode) for path in left] == [mode | 0o600] * 2
        assert run(*command, "--resume", "--errors", "strict").code == 1
        (tmp_path / "good.txt").write_bytes(GOOD)
        assert run(*command[:2], "good.txt", *command[3:], "--resume").code == 0
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode
        assert not list(tmp_path.glob(".*"))


@posix
@pytest.mark.parametrize("resume", [[], ["--resume"]])
@pytest.mark.parametrize(
    "kind", ["link", "hard link", "pipe", "folder of another user", "file of another user"]
)
def test_what_another_user_has_prepared_is_not_touched(
    run: Run, tmp_path: Path, broken: Path, kind: str, resume: list[str]
) -> None:
    """Under names that fit, in a folder that both can write to."""
    unfinished = broken.with_suffix(".unfinished")
    victims = [path.rename(tmp_path / f"victim{path.suffix}") for path in (broken, unfinished)]
    before = [path.read_bytes() for path in victims]
    for planted, victim in zip((broken, unfinished), victims, strict=True):
        if kind == "link":
            planted.symlink_to(victim)
        elif kind == "hard link":
            os.link(victim, planted)
        elif kind == "pipe":
            os.mkfifo(planted)
        else:
            if os.geteuid() != 0:
                pytest.skip("only root gives files away")
            if kind == "folder of another user":
                planted.mkdir()
            else:
                planted.write_bytes(victim.read_bytes())
            os.chown(planted, 12345, -1)
    there = sorted(path.name for path in tmp_path.iterdir())
    result = run("embed", "-i", "in.txt", "--batch-size", "4", "-o", "v.npy", *resume)
    assert result.code == 0, result.err
    assert [path.read_bytes() for path in victims] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*there, "v.npy"])


@posix
def test_a_resumed_run_and_a_new_one_at_the_same_moment(tmp_path: Path) -> None:
    """Whoever begins first has it: the other neither removes nor resumes what is being written."""
    target = tmp_path / "v.npy"
    with pytest.raises(InterruptedError):
        write_one_row(target)
    with partial_file.resumable(target, {}, resume=True, tell=str) as partial:
        for resume in (False, True):
            with pytest.raises(ValueError, match="another process is writing it"):
                write_two_rows(target, resume)
        partial.file.write(b"row")
        partial.publish(None)
    assert target.read_bytes() == b"rowrow"
    assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]


def interrupted_at(line: int, work: Callable[[], object]) -> bool:
    """Raise KeyboardInterrupt at a line of partial_file.py, counted as they run.

    Once only: what then tidies up is left alone.

    Returns:
        Whether so many lines have run.
    """
    run = 0

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal run
        if frame.f_code.co_filename != partial_file.__file__:
            return None
        run += event == "line"
        if event == "line" and run == line:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def write_two_rows(target: Path, resume: bool) -> None:
    with partial_file.resumable(target, {}, resume=resume, tell=str) as partial:
        for row in range(partial.done.rows, 2):
            partial.file.write(b"row")
            partial.note([Row(row, row + 1, "text")], 0)
        partial.publish(None)


def test_an_interrupt_anywhere_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial_file, "JOURNAL_SECONDS", 60.0)
    target, lines = tmp_path / "v.npy", 0
    while interrupted_at(lines + 1, lambda: write_two_rows(target, False)):
        lines += 1
        assert {path.name for path in tmp_path.iterdir()} <= {"v.npy"}, lines
        if target.exists():
            assert target.read_bytes() == b"rowrow"
            target.unlink()
    assert lines > 50


def test_an_interrupt_anywhere_loses_nothing(tmp_path: Path) -> None:
    target, lines, kept = tmp_path / "v.npy", 0, 0
    finished = False
    while not finished:
        lines += 1
        # One row is done before each: what is interrupted takes up the second.
        with pytest.raises(InterruptedError):
            write_one_row(target)
        finished = not interrupted_at(lines, lambda: write_two_rows(target, True))
        if not target.exists():
            assert rows_done(target) >= 1
            kept += 1
            write_two_rows(target, True)
        assert target.read_bytes() == b"rowrow"
        assert [path.name for path in tmp_path.iterdir()] == ["v.npy"]
        target.unlink()
    assert lines > kept > 50


def write_one_row(target: Path) -> None:
    with partial_file.resumable(target, {}, resume=False, tell=str) as partial:
        partial.file.write(b"row")
        partial.note([Row(0, 1, "text")], 0)
        raise InterruptedError


def test_resume_needs_a_file(run: Run) -> None:
    result = run("embed", "a", "--resume")
    assert (result.code, result.out) == (2, "")
    assert "--resume goes on with a file: give -o FILE" in result.err


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("ending", ["npy", "jsonl"])
def test_kill_9_again_and_again(tmp_path: Path, ending: str) -> None:
    (tmp_path / "in.txt").write_text("".join(f"line {n} of many\n" for n in range(1500)))
    program = (
        "import sys; from bge_micro.cli import main, partial_file;"
        "partial_file.JOURNAL_SECONDS = 0.0; sys.exit(main(sys.argv[1:]))"
    )
    options = ["embed", "-i", "in.txt", "--batch-size", "16", "--threads", "1"]
    command = [sys.executable, "-c", program, *options]
    subprocess.run([*command, "-o", f"whole.{ending}"], cwd=tmp_path, check=True)
    target = tmp_path / f"v.{ending}"
    kills = 0
    while not target.exists():
        argv = [*command, "-o", f"v.{ending}", "--resume"]
        with subprocess.Popen(argv, cwd=tmp_path) as process:
            while kills < 4 and process.poll() is None and rows_done(target) < 250 * (kills + 1):
                time.sleep(0.001)
            if kills < 4:
                process.kill()
                kills += 1
    assert kills == 4
    assert target.read_bytes() == (tmp_path / f"whole.{ending}").read_bytes()
    assert not list(tmp_path.glob(".*"))


def rows_done(target: Path) -> int:
    """Return what the last whole line of a target's journal says."""
    try:
        lines = [journal.read_text() for journal in find_own(target, "journal")]
    except FileNotFoundError:
        return 0
    lines = "".join(lines).split("\n")[1:-1]
    return int(json.loads(lines[-1])["rows"]) if lines else 0
