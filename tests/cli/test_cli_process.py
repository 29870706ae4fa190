"""`bge-micro` as a process: pipes, signals, terminals, and memory."""

from __future__ import annotations

import json
import os
import shlex
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bge_micro import __version__
from patience import PATIENCE

COMMAND = [sys.executable, "-m", "bge_micro"]

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals, devices and terminals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@contextmanager
def started(*argv: str, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command with pipes to all of its streams; end it in any case."""
    process = subprocess.Popen(
        [*COMMAND, *argv],
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_output(folder: Path, size: int) -> Path:
    """Wait until the unfinished output in a folder has `size` bytes."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for path in folder.glob(".*.unfinished"):
            if path.stat().st_size >= size:
                return path
        time.sleep(0.01)
    raise AssertionError(f"no unfinished output appeared: {list(folder.iterdir())}")


def test_module_and_exit_codes() -> None:
    for argv, code in ((["-V"], 0), (["embed"], 2), (["embed", "-i", "/none/x"], 1)):
        result = subprocess.run([*COMMAND, *argv], capture_output=True, text=True, check=False)
        assert result.returncode == code
        assert result.stdout == (f"bge-micro {__version__}\n" if code == 0 else "")
        assert result.stderr.startswith("bge-micro: error: ") == (code != 0)
        assert "Traceback" not in result.stderr


def test_help_waits_for_nothing_heavy() -> None:
    program = (
        "import sys; from bge_micro.cli import build_parser; build_parser().format_help();"
        "print(sorted({'numpy', 'tokenizers', 'bge_micro._core'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert result.stdout.decode().strip() == "[]"


def test_blocks_pass_through_a_pipe(tmp_path: Path) -> None:
    with started("embed", "-", "--batch-size", "2", cwd=tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"a\nb\n")
        # Both are here although the input has not ended.
        assert [json.loads(process.stdout.readline())["index"] for _ in range(2)] == [0, 1]
        process.stdin.write(b"c")
        process.stdin.close()
        assert json.loads(process.stdout.read())["index"] == 2
        assert process.wait(PATIENCE) == 0


@posix
def test_started_without_standard_streams(tmp_path: Path) -> None:
    def shell(arguments: str) -> subprocess.CompletedProcess[str]:
        line = f"{shlex.join(COMMAND)} {arguments}"
        return subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True)

    closed = shell("embed a >&-")
    assert (closed.returncode, closed.stderr.count("\n")) == (1, 1)
    assert closed.stderr.startswith("bge-micro: error: ")
    assert shell("embed a -o a.npy >&-").returncode == 0
    assert np.load(tmp_path / "a.npy").shape == (1, 384)
    deaf = shell(f"embed '{'word ' * 600}' 2>&-")  # the warning has no place to go to
    assert deaf.returncode == 0
    assert len(json.loads(deaf.stdout)["embedding"]) == 384


@posix
@pytest.mark.parametrize("command", [["embed", "-"], ["similarity", "-"]])
def test_reader_goes_away(tmp_path: Path, command: list[str]) -> None:
    with started(*command, cwd=tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"a\n" * 400)
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 141


@linux
@pytest.mark.parametrize("command", ["embed", "similarity"])
def test_full_disk(command: str) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [*COMMAND, command, "a", "b"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert result.returncode == 1
    assert result.stderr == b"bge-micro: error: No space left on device\n"


@posix
@pytest.mark.parametrize(("name", "size"), [("v.npy", 1664), ("v.jsonl", 5000), ("v.npz", 0)])
def test_interrupt_removes_what_is_unfinished(tmp_path: Path, name: str, size: int) -> None:
    with started("embed", "-", "--batch-size", "1", "-o", name, cwd=tmp_path) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"a\n" * 50)
        wait_for_output(tmp_path, size)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr.read() == b""
    assert list(tmp_path.iterdir()) == []


@posix
def test_interrupt_while_encoding(tmp_path: Path) -> None:
    with started("embed", "-", "--batch-size", "1000000", cwd=tmp_path) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"some more words for a line of text\n" * 200_000)
        process.stdin.close()  # all has been read, so a minute of work begins
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr.read() == b""


@posix
def test_kill_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "v.npy").write_bytes(b"old")
    with started("embed", "-", "--batch-size", "1", "-o", "v.npy", cwd=tmp_path) as process:
        assert process.stdin is not None
        process.stdin.write(b"a\n" * 50)
        partial = wait_for_output(tmp_path, 128 + 384 * 4)
        process.kill()
        process.wait(PATIENCE)
    assert (tmp_path / "v.npy").read_bytes() == b"old"
    assert len(np.load(partial)) == 0  # even who finds it is not misled


@contextmanager
def terminal() -> Iterator[tuple[int, Callable[[], str]]]:
    """Open a terminal of 80 columns; give its descriptor, and what to call for what it showed."""
    import fcntl
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def shown() -> str:
        os.close(theirs)
        seen = b""
        try:
            while block := os.read(ours, 1 << 16):
                seen += block
        except OSError:  # how Linux tells the end
            pass
        return seen.decode()

    yield theirs, shown
    os.close(ours)


@posix
@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["-i", "in.txt", "-o", "v.npy"], "3/3"),
        (["-", "-o", "v.npy"], "2text"),
        (["a", "b", "-o", "v.npy"], ""),
    ],
)
def test_progress_on_a_terminal(tmp_path: Path, argv: list[str], expected: str) -> None:
    pytest.importorskip("tqdm", reason="progress bars need the extra bge-micro[progress]")
    (tmp_path / "in.txt").write_text("a\nb\nc")
    with terminal() as (stderr, shown):
        subprocess.run(
            [*COMMAND, "embed", *argv], cwd=tmp_path, input=b"a\nb\n", stderr=stderr, check=True
        )
        seen = shown()
    assert (expected in seen) if expected else (seen == "")


@posix
def test_progress_of_a_comparison(tmp_path: Path) -> None:
    pytest.importorskip("tqdm", reason="progress bars need the extra bge-micro[progress]")
    embed = [*COMMAND, "embed", "a", "b", "--with-text", "-o", "v.jsonl"]
    subprocess.run(embed, cwd=tmp_path, check=True)
    compare = [*COMMAND, "info", "--compare", "v.jsonl", "--json"]
    with terminal() as (stderr, shown):
        result = subprocess.run(
            compare, cwd=tmp_path, stdout=subprocess.PIPE, stderr=stderr, check=True
        )
        assert "2/2" in shown()
    assert json.loads(result.stdout)["rows"] == 2


def test_no_progress_in_a_pipe(tmp_path: Path) -> None:
    argv = ["embed", "-", "-o", "v.npy"]
    result = subprocess.run(
        [*COMMAND, *argv], cwd=tmp_path, input=b"a\n", capture_output=True, check=True
    )
    assert (result.stdout, result.stderr) == (b"", b"")


@posix
def test_no_progress_among_vectors_on_a_terminal(tmp_path: Path) -> None:
    argv = ["embed", "-", "--truncate-dim", "2"]
    with terminal() as (both, shown):
        subprocess.run(
            [*COMMAND, *argv], cwd=tmp_path, input=b"a\n", stdout=both, stderr=both, check=True
        )
        assert json.loads(shown()).keys() == {"index", "embedding"}


def test_output_does_not_depend_on_the_terminals_encoding(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for argv, expected in (
        (["similarity", "ä", "ö"], "\tö\n"),
        (["embed", "ö", "--with-text", "--truncate-dim", "1"], '"text": "ö"'),
    ):
        result = subprocess.run(
            [*COMMAND, *argv], cwd=tmp_path, env=environment, capture_output=True, check=True
        )
        assert expected in result.stdout.decode()


def growth_kilobytes(folder: Path, few: int, many: int) -> int:
    """Return how much more memory `many` lines take than `few`.

    Both threads work at once, or one alone, as the machine has time: try again.
    """
    return peak_kilobytes(folder, many) - peak_kilobytes(folder, few)


def peak_kilobytes(folder: Path, lines: int) -> int:
    """Return the most memory that embedding a file of so many lines takes."""
    with (folder / "in.txt").open("w") as file:
        file.writelines(f"{number % 10}\n" for number in range(lines))
    program = (
        "import sys; from bge_micro.cli import main; code = main(sys.argv[1:]);"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]); sys.exit(code)"
    )
    argv = ["embed", "-i", "in.txt", "-o", "v.npy", "--threads", "2"]
    result = subprocess.run(
        [sys.executable, "-c", program, *argv], cwd=folder, capture_output=True, check=True
    )
    assert np.load(folder / "v.npy", mmap_mode="r").shape == (lines, 384)
    return int(result.stdout)


@linux
def test_memory_is_flat(tmp_path: Path) -> None:
    # The vectors of the further lines take 6 MB.
    assert any(growth_kilobytes(tmp_path, 2_000, 6_000) < 2_500 for _ in range(3))


@linux
@pytest.mark.slow
def test_memory_is_flat_for_a_large_file(tmp_path: Path) -> None:
    # The vectors of the further lines take 304 MB.
    assert any(growth_kilobytes(tmp_path, 2_000, 200_000) < 8_000 for _ in range(3))
