"""Atomic files beside full disks, failing disks, kills and other processes."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from bge_micro.atomic import atomic_file, atomic_folder, find_own, whole
from patience import PATIENCE
from reliability.atomic_writes import NEW, write

pytestmark = pytest.mark.skipif(os.name == "nt", reason="modes, links and signals of POSIX")


def test_the_file_is_on_the_disk_before_its_name_and_the_name_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace, rename = os.fsync, os.replace, Path.rename

    def noted_fsync(handle: int) -> None:
        done.append(f"sync {os.path.basename(os.readlink(f'/proc/self/fd/{handle}'))}")
        fsync(handle)

    def noted_replace(source: Path, target: Path) -> None:
        done.append("rename")
        replace(source, target)

    def noted_rename(source: Path, target: Path) -> None:
        done.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    monkeypatch.setattr(Path, "rename", noted_rename)
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 16)
    write(tmp_path / "v")
    assert done == ["sync .v.0000000000000000.partial", "rename", f"sync {tmp_path.name}"]
    done.clear()
    with atomic_folder(tmp_path / "new/out") as folder:
        (folder / "sub").mkdir()
        (folder / "sub/a").write_bytes(NEW)
        (folder / "b").write_bytes(NEW)
    partial = "sync .out.0000000000000000.partial"
    files = ["sync a", "sync sub", "sync b"]
    assert done == [f"sync {tmp_path.name}", *files, partial, "rename", "sync new"]


@pytest.mark.parametrize("limit", [0, 1, 4096])
def test_a_full_disk_names_the_target(tmp_path: Path, limit: int) -> None:
    program = f"""
        import resource, sys
        sys.dont_write_bytecode = True
        from bge_micro.atomic import atomic_file, atomic_folder, naming
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        try:
            with atomic_file("v") as file:
                file.write(bytes(10_000))
        except OSError as error:
            print(error)
        try:
            with atomic_folder("out") as folder, naming(folder / "a"):
                (folder / "a").write_bytes(bytes(10_000))
        except OSError as error:
            print(error)
        try:
            with atomic_folder("out") as folder:
                (folder / "a").write_bytes(bytes(10_000))
        except OSError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    what = f"[Errno {errno.EFBIG}] File too large"
    assert done.stdout.splitlines() == [f"{what}: '{name}'" for name in ("v", "out/a", "out")]
    assert os.listdir(tmp_path) == []


def test_other_faults_name_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    target = tmp_path / "v"
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            with pytest.raises(OSError, match=f"Input/output error: '{target}'"):
                write(target)
            assert os.listdir(tmp_path) == []


KILLED = """
    import sys
    from bge_micro.atomic import atomic_file, whole
    whole._LEFTOVER_SECONDS = float("inf")
    print("begins", flush=True)
    number = 0
    while True:
        number += 1
        with atomic_file(sys.argv[1]) as file:
            for _ in range(50):
                file.write(number.to_bytes(8, "little") * 100)
                file.flush()
"""


def test_kill_9_at_any_moment_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "v"
    rng, last, rounds = random.Random(5), 0, 0
    end = time.monotonic() + PATIENCE
    # Some moments are before the first file or between two: how many depends on the machine.
    while (rounds < 15 or not last or len(find_own(target)) < 6) and time.monotonic() < end:
        rounds += 1
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(target)], stdout=subprocess.PIPE
        )
        assert child.stdout
        child.stdout.readline()
        time.sleep(0.01 + rng.random() * 0.002 * rounds)
        child.kill()
        child.communicate()
        assert child.returncode == -signal.SIGKILL
        if target.exists():
            data = target.read_bytes()
            assert data == data[:8] * 5000
            last = int.from_bytes(data[:8], "little")
    assert last > 0
    left = set(find_own(target))
    assert len(left) >= 6
    monkeypatch.setattr(whole, "_LEFTOVER_SECONDS", 2.0 * PATIENCE)
    write(target)
    assert set(find_own(target)) == left, "they may be files that are just about to be locked"
    monkeypatch.setattr(whole, "_LEFTOVER_SECONDS", 0.0)
    write(target)
    assert os.listdir(tmp_path) == ["v"]


def test_what_a_living_writer_holds_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "_LEFTOVER_SECONDS", 0.0)
    target, folder = tmp_path / "v", tmp_path / "folder"
    with atomic_file(target) as file:
        file.write(b"first")
        write(target, b"second")
        assert target.read_bytes() == b"second"
    assert target.read_bytes() == b"first"
    with atomic_folder(folder) as ours:
        (ours / "a").write_bytes(NEW)
        with pytest.raises(RuntimeError), atomic_folder(folder):
            raise RuntimeError
    assert (folder / "a").read_bytes() == NEW


def replace_until(over: Event, target: Path, number: int) -> None:
    while not over.is_set():
        write(target, bytes([number]) * 20_000)


def test_readers_see_whole_files_while_many_write(tmp_path: Path) -> None:
    target = tmp_path / "v"
    write(target, bytes(20_000))
    context = multiprocessing.get_context("spawn")
    over = context.Event()
    writers = [
        context.Process(target=replace_until, args=(over, target, number)) for number in (1, 2)
    ]
    thread = threading.Thread(target=replace_until, args=(over, target, 3))
    for writer in (*writers, thread):
        writer.start()
    reads, seen = 0, set()
    end = time.monotonic() + PATIENCE
    try:
        while (reads < 500 or not {1, 2, 3} <= seen) and time.monotonic() < end:
            data = target.read_bytes()
            assert data == data[:1] * 20_000
            seen.add(data[0])
            reads += 1
    finally:
        over.set()
        for writer in (*writers, thread):
            writer.join()
    assert {1, 2, 3} <= seen
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert os.listdir(tmp_path) == ["v"]
