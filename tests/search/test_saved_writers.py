"""Who may write a saved index, and what stays as it was."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from bge_micro.search.saved import new_index, open_index

from .saved_folder import OPTIONS, TEXTS, file_of, names, posix, save, vectors_of


def test_one_writer_at_a_time(folder: Path) -> None:
    before = names(folder)
    with new_index(folder, "space", OPTIONS, vectors_of(0)) as writer:
        with pytest.raises(BlockingIOError, match="another process is writing") as caught:
            save(folder, ["second"])
        assert caught.value.filename == str(folder)
        assert list(open_index(folder).texts) == TEXTS, "readers are not kept out"
        writer.append(["first"], vectors_of(1))
    assert list(open_index(folder).texts) == ["first"]
    assert len(names(folder)) == len(before)
    save(folder, ["third"])


def test_one_writer_where_nothing_was(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with new_index(folder, "space", OPTIONS, vectors_of(0)):
        with pytest.raises(BlockingIOError, match="another process is writing"):
            save(folder)
        with pytest.raises(FileNotFoundError):
            open_index(folder)
    assert list(open_index(folder).texts) == []


def test_a_lock_whose_file_was_removed_is_no_lock(folder: Path, monkeypatch: Any) -> None:
    """As by a writer that failed, between our opening the file and our locking it."""
    import bge_micro.search.saved.lock as module

    lock_handle = module.lock_handle

    def lose(handle: int) -> bool | None:
        (folder / ".lock").unlink()
        return lock_handle(handle)

    with monkeypatch.context() as patch:
        patch.setattr(module, "lock_handle", lose)
        with pytest.raises(BlockingIOError):
            save(folder, ["new"])
    save(folder, ["newer"])


def test_without_locks_nothing_of_others_is_removed(folder: Path, monkeypatch: Any) -> None:
    import bge_micro.atomic.locks as module

    def refuse(handle: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    other = folder / f"vectors-{'0' * 16}.npy"
    other.write_bytes(b"of a living writer, perhaps")
    old = file_of(folder, "vectors")
    monkeypatch.setattr(module, "_lock", refuse)
    save(folder, ["new"])
    assert list(open_index(folder).texts) == ["new"]
    assert other.exists()
    assert not old.exists()


def test_leftovers_of_killed_writers(folder: Path) -> None:
    leftovers = [f"vectors-{'0' * 16}.npy", f"texts-{'f' * 16}.jsonl"]
    leftovers += [f".index.json.{'1' * 16}.partial"]
    others = ["vectors.npy", "texts-1.jsonl", "notes.txt"]
    for name in leftovers + others:
        (folder / name).write_text("x")
    with pytest.raises(KeyboardInterrupt), new_index(folder, "s", OPTIONS, vectors_of(0)):
        raise KeyboardInterrupt
    assert not set(leftovers) & set(names(folder))
    assert set(others) <= set(names(folder))
    assert list(open_index(folder).texts) == TEXTS


def test_the_folder_of_a_killed_first_writer(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    folder.mkdir()
    for name in (".lock", f"vectors-{'0' * 16}.npy", f".index.json.{'1' * 16}.partial"):
        (folder / name).touch()
    save(folder)
    assert len(names(folder)) == 4


@pytest.mark.parametrize("content", ["{", '{"format": 4, "space_id": "a", "more": 1}', "[]"])
def test_what_a_damaged_index_or_a_newer_one_names_stays_until_it_is_replaced(
    folder: Path, content: str
) -> None:
    before = names(folder)
    (folder / "index.json").write_text(content)
    with pytest.raises(KeyboardInterrupt), new_index(folder, "s", OPTIONS, vectors_of(0)):
        raise KeyboardInterrupt
    assert names(folder) == before
    save(folder, ["new"])
    save(folder, ["newer"])
    assert list(open_index(folder).texts) == ["newer"]
    assert len(names(folder)) == 4


@pytest.mark.parametrize("content", ['{"name": "a web site"}', "not JSON"])
def test_an_index_json_of_others_is_not_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(FileExistsError, match="exists and is no index"):
        save(tmp_path)
    assert names(tmp_path) == ["index.json"]
    assert (tmp_path / "index.json").read_text() == content


@posix
def test_modes_are_kept(folder: Path) -> None:
    modes = {"index.json": 0o640, "vectors": 0o600, "texts": 0o444}

    def path_of(kind: str) -> Path:
        return folder / kind if "." in kind else file_of(folder, kind)

    for kind, mode in modes.items():
        path_of(kind).chmod(mode)
    folder.chmod(0o710)
    save(folder, ["new"])
    assert list(open_index(folder).texts) == ["new"]
    for kind, mode in modes.items():
        assert stat.S_IMODE(path_of(kind).stat().st_mode) == mode
    assert stat.S_IMODE(folder.stat().st_mode) == 0o710


@posix
@pytest.mark.parametrize("there", ["an index", "an empty folder", "nothing"])
def test_a_link_stays_a_link(tmp_path: Path, there: str) -> None:
    place = tmp_path / "disk" / "place"
    if there == "an index":
        save(place)
    elif there == "an empty folder":
        place.mkdir(parents=True)
    link = tmp_path / "index"
    link.symlink_to(place)
    save(link, ["new"])
    assert link.is_symlink()
    assert list(open_index(place).texts) == ["new"]
    assert names(tmp_path) == ["disk", "index"]
    assert names(tmp_path / "disk") == ["place"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs two users")
@pytest.mark.parametrize("name", ["", ".lock", "index.json"])
def test_another_users_link_in_a_shared_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    save(tmp_path / "victim")
    before = {path: path.read_bytes() for path in (tmp_path / "victim").iterdir()}
    shared = tmp_path / "shared"
    shared.mkdir()
    if name:
        save(shared)
        (shared / name).unlink()
    link = shared / (name or "index")
    link.symlink_to(tmp_path / "victim" / name)
    os.chown(link, 12345, 12345, follow_symlinks=False)
    shared.chmod(0o1777)
    with pytest.raises(OSError, match=r"link of another user|symbolic links|denied"):
        save(shared if name else link)
    assert {path: path.read_bytes() for path in (tmp_path / "victim").iterdir()} == before


def test_a_failure_after_index_json_is_in_place(folder: Path, monkeypatch: Any) -> None:
    """Which files then are the index, index.json says."""
    replace = os.replace

    def replace_and_fail(source: Any, target: Any) -> None:
        replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace_and_fail)
    with pytest.raises(KeyboardInterrupt):
        save(folder, ["new"])
    assert list(open_index(folder).texts) == ["new"]
    assert len(names(folder)) == 4


@posix
def test_all_is_on_the_disk_before_index_json_names_it(tmp_path: Path, monkeypatch: Any) -> None:
    """And the names of files and folders, which a crash of the system could lose otherwise."""
    synced: list[int] = []
    at_replacement: list[int] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    def noted_replace(source: Any, target: Any) -> None:
        at_replacement.extend([*synced, Path(source).stat().st_ino])
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    folder = tmp_path / "new" / "index"
    save(folder)
    data = {file_of(folder, kind).stat().st_ino for kind in ("vectors", "texts")}
    pointer = (folder / "index.json").stat().st_ino
    assert at_replacement[-1] == pointer
    assert data | {pointer, folder.stat().st_ino} <= set(at_replacement[:-1])
    after = synced[len(at_replacement) - 1 :]
    assert folder.stat().st_ino in after
    assert {folder.parent.stat().st_ino, tmp_path.stat().st_ino} <= set(synced)
