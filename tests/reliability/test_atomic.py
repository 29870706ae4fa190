"""Files and folders that appear whole or not at all, in folders where others write, too."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bge_micro import atomic
from bge_micro.atomic import atomic_file, atomic_folder, find_own
from reliability.atomic_writes import NEW, OLD, write

pytestmark = pytest.mark.skipif(os.name == "nt", reason="modes, links and signals of POSIX")

Writer = Callable[[Path], AbstractContextManager[object]]


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
