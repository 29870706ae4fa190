"""Files and folders that appear whole or not at all, in folders where others write, too."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bge_micro import atomic
from bge_micro.atomic import atomic_file, atomic_folder, find_own, whole

pytestmark = pytest.mark.skipif(os.name == "nt", reason="modes, links and signals of POSIX")

Writer = Callable[[Path], AbstractContextManager[object]]

OLD, NEW = b"old" * 1000, b"new" * 2000


def write(path: Path, data: bytes = NEW) -> None:
    with atomic_file(path) as file:
        file.write(data)


def fail_after(write: Callable[[bytes], object], error: type[BaseException]) -> None:
    write(NEW)
    raise error


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def partial_of(target: Path) -> Path:
    (found,) = find_own(target)
    return found


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_it_appears_at_the_end_only(tmp_path: Path) -> None:
    target = tmp_path / "v"
    with atomic_file(target) as file:
        file.write(NEW)
        file.flush()
        assert not target.exists()
        assert partial_of(target).read_bytes() == NEW
        file.seek(0)
        assert file.read(3) == b"new"
        file.write(b"!")
    assert target.read_bytes() == b"new!" + NEW[4:]
    assert os.listdir(tmp_path) == ["v"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_failure_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "v"
    target.write_bytes(OLD)
    with pytest.raises(error), atomic_file(target) as file:
        fail_after(file.write, error)
    assert target.read_bytes() == OLD
    assert os.listdir(tmp_path) == ["v"]
    with pytest.raises(error), atomic_folder(tmp_path / "folder") as folder:
        fail_after((folder / "a").write_bytes, error)
    assert os.listdir(tmp_path) == ["v"]


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666, 0o755, 0o400])
def test_the_mode_is_kept_and_nobody_reads_more_meanwhile(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "v"
    target.write_bytes(OLD)
    target.chmod(mode)
    with atomic_file(target) as file:
        assert mode_of(partial_of(target)) == mode | 0o600
        file.write(NEW)
    assert mode_of(target) == mode
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(mode | 0o700)
    with atomic_folder(folder):
        assert mode_of(partial_of(folder)) == mode | 0o700
    assert mode_of(folder) == mode | 0o700


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_without_a_target_the_umask_decides(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write(tmp_path / "v")
        with atomic_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "v") == 0o666 & ~umask
    assert mode_of(tmp_path / "folder") == 0o777 & ~umask


@pytest.mark.skipif(os.name != "nt" and os.geteuid() != 0, reason="only root gives files away")
def test_the_group_is_kept_or_loses_its_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "v"
    target.write_bytes(OLD)
    os.chown(target, -1, 12345)
    target.chmod(0o664)
    write(target)
    assert (target.stat().st_gid, mode_of(target)) == (12345, 0o664)

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refuse)
    write(target)
    assert (target.stat().st_gid, mode_of(target)) == (os.getegid(), 0o644)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/real").write_bytes(OLD)
    (tmp_path / "near").symlink_to("far/real")
    (tmp_path / "link").symlink_to("near")
    write(tmp_path / "link")
    assert (tmp_path / "link").readlink() == Path("near")
    assert (tmp_path / "near").readlink() == Path("far/real")
    assert (tmp_path / "far/real").read_bytes() == NEW
    assert os.listdir(tmp_path / "far") == ["real"]
    (tmp_path / "far/empty").mkdir()
    (tmp_path / "folder").symlink_to("far/empty")
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "a").write_bytes(NEW)
    assert (tmp_path / "folder").is_symlink()
    assert (tmp_path / "far/empty/a").read_bytes() == NEW


def test_a_second_name_keeps_the_old_contents(tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes(OLD)
    os.link(tmp_path / "v", tmp_path / "second")
    write(tmp_path / "v")
    assert (tmp_path / "second").read_bytes() == OLD


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_cannot_be_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "v")
    with pytest.raises(ValueError, match=r"expected the name of a file to write"):
        write(tmp_path / "v")


def test_folders_above_are_made(tmp_path: Path) -> None:
    write(tmp_path / "some/new/v")
    assert (tmp_path / "some/new/v").read_bytes() == NEW
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file is a file, expected a folder: .*file/below/v"):
        write(tmp_path / "file/below/v")


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "a b'c\\d[e]*"])
def test_any_name_that_a_file_can_have(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    assert os.listdir(tmp_path) == [name]


class TestAttack:
    """Another user prepares names in a shared folder; each try opens what has a fixed name."""

    @pytest.mark.parametrize("plant", ["file", "link", "pipe", "folder"])
    @pytest.mark.parametrize("writer", [atomic_file, atomic_folder])
    def test_a_partial_name_that_exists_is_never_opened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: Writer, plant: str
    ) -> None:
        """Even if the random name were known."""
        monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
        victim = tmp_path / "victim"
        victim.write_bytes(OLD)
        planted = atomic.partial_path(tmp_path / "v")
        make = {
            "file": lambda: os.link(victim, planted),
            "link": lambda: planted.symlink_to(victim),
            "pipe": lambda: os.mkfifo(planted),
            "folder": planted.mkdir,
        }
        make[plant]()
        with pytest.raises(FileExistsError), writer(tmp_path / "v"):
            pass
        assert victim.read_bytes() == OLD
        assert not (tmp_path / "v").exists()

    def test_names_cannot_be_guessed(self, tmp_path: Path) -> None:
        names = {atomic.partial_path(tmp_path / "v").name for _ in range(1000)}
        assert len(names) == 1000

    def test_what_lies_there_is_ours_or_not_seen(self, tmp_path: Path) -> None:
        target = tmp_path / "v"
        victim = tmp_path / "victim"
        victim.write_bytes(OLD)
        names = [atomic.partial_path(target) for _ in range(4)]
        names[0].symlink_to(victim)
        os.link(victim, names[1])
        os.mkfifo(names[2])
        names[3].write_bytes(b"of another user")
        if os.geteuid() == 0:
            os.chown(names[3], 12345, -1)
            assert find_own(target) == []
        for name in names[:3]:
            with pytest.raises(OSError, match=r"not a file of this user|symbolic link"):
                atomic.open_own(name, shown=target)

    @pytest.mark.skipif(os.name != "nt" and os.geteuid() != 0, reason="needs two users")
    @pytest.mark.parametrize("mode", [0o1777, 0o755])
    def test_a_foreign_link_in_a_shared_folder(self, tmp_path: Path, mode: int) -> None:
        shared = tmp_path / "shared"
        shared.mkdir()
        shared.chmod(mode)
        (tmp_path / "victim").write_bytes(OLD)
        (shared / "v").symlink_to(tmp_path / "victim")
        os.chown(shared / "v", 12345, 12345, follow_symlinks=False)
        if mode == 0o755:  # nobody else can put a link there
            write(shared / "v")
            return
        with pytest.raises(PermissionError, match="the link of another user"):
            write(shared / "v")
        (tmp_path / "to").symlink_to(shared / "v")
        with pytest.raises(PermissionError, match="the link of another user"):
            write(tmp_path / "to")
        assert (tmp_path / "victim").read_bytes() == OLD


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
    from bge_micro.atomic import atomic_file
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
    rng, last = random.Random(5), 0
    for _ in range(15):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(target)], stdout=subprocess.PIPE
        )
        assert child.stdout
        child.stdout.readline()
        time.sleep(0.01 + rng.random() * 0.03)
        child.kill()
        child.communicate()
        assert child.returncode == -signal.SIGKILL
        if target.exists():
            data = target.read_bytes()
            assert data == data[:8] * 5000
            last = int.from_bytes(data[:8], "little")
    assert last > 0
    assert len(find_own(target)) > 5, "most were killed while they wrote"
    write(target)
    assert len(find_own(target)) > 5, "they may be files that are just about to be locked"
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


def replace_again_and_again(target: Path, number: int, stop: float) -> None:
    while time.monotonic() < stop:
        write(target, bytes([number]) * 20_000)


def test_readers_see_whole_files_while_many_write(tmp_path: Path) -> None:
    target = tmp_path / "v"
    write(target, bytes(20_000))
    stop = time.monotonic() + 0.3
    writers = [
        multiprocessing.get_context("spawn").Process(
            target=replace_again_and_again, args=(target, number, stop + 1)
        )
        for number in range(3)
    ]
    writers[0].start()
    writers[1].start()
    thread = threading.Thread(target=replace_again_and_again, args=(target, 9, stop))
    thread.start()
    reads = 0
    while time.monotonic() < stop + 1:
        data = target.read_bytes()
        assert data == data[:1] * 20_000
        reads += 1
    thread.join()
    for writer in writers[:2]:
        writer.join()
        assert writer.exitcode == 0
    assert reads > 20
    assert os.listdir(tmp_path) == ["v"]
