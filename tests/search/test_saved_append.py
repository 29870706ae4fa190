"""Rows behind those of a saved index: durable, and the same files as in one save."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro.search.saved import IndexChangedError, append_index, new_index, open_index
from bge_micro.search.saved import writer as writer_module
from bge_micro.search.saved.facts import KINDS

from .saved_folder import (
    IDS,
    METADATA,
    OPTIONS,
    TEXTS,
    append,
    facts_of,
    file_of,
    names,
    posix,
    save,
    vectors_of,
)


def append_labelled(folder: Path, rows: slice) -> None:
    append(folder, TEXTS[rows], IDS[rows], METADATA[rows], first=6 * rows.start)


def append_and_fail(folder: Path, rows: int) -> None:
    """Fail as late as possible before index.json is replaced."""
    with append_index(folder, open_index(folder).facts, vectors_of(0)) as writer:
        writer.append(["x"] * rows, vectors_of(rows), ["y"] * rows)
        writer.sync()
        raise KeyboardInterrupt


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    save(tmp_path / "whole", labelled=True)
    return tmp_path / "whole"


def assert_same(folder: Path, expected: Path) -> None:
    """See that two folders' files have the same bytes."""
    for kind in KINDS:
        stated = facts_of(folder)[kind]["bytes"]
        assert file_of(folder, kind).read_bytes()[:stated] == file_of(expected, kind).read_bytes()


@pytest.mark.parametrize("first", [0, 1, 4, 5])
def test_the_same_bytes_as_one_save(tmp_path: Path, whole: Path, first: int) -> None:
    folder = tmp_path / "index"
    vectors = vectors_of(first)
    with new_index(folder, "space", OPTIONS, vectors_of(0), prompt="p: ") as writer:
        writer.append(TEXTS[:first], vectors, IDS[:first], METADATA[:first])
    before = names(folder)
    append_labelled(folder, slice(first, 5))
    assert_same(folder, whole)
    mapped = np.load(file_of(folder, "vectors"), mmap_mode="r")
    assert np.array_equal(mapped, vectors_of(5))
    assert set(before) <= set(names(folder)), "the files have grown"


def test_what_is_mapped_stays_as_it_was(folder: Path) -> None:
    saved = open_index(folder)
    append(folder, ["new"], first=30)
    append(folder, ["newer"], ["id"], first=36)
    assert list(saved.texts) == TEXTS
    assert np.array_equal(saved.vectors, vectors_of(5))
    saved = open_index(folder)
    assert list(saved.texts) == [*TEXTS, "new", "newer"]
    assert np.array_equal(saved.vectors, vectors_of(7))


def test_a_failure_leaves_the_rows_that_were_there(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "index"
    save(folder, TEXTS[:2], labelled=True)
    before = names(folder)
    for more in (3, 1):
        with pytest.raises(KeyboardInterrupt):
            append_and_fail(folder, more)
        assert names(folder) == before
        assert list(open_index(folder).texts) == TEXTS[:2]
        np.load(file_of(folder, "vectors"), mmap_mode="r")
    append_labelled(folder, slice(2, 5))
    assert_same(folder, whole)


def test_a_failure_takes_new_files_along(folder: Path) -> None:
    before = names(folder)
    with pytest.raises(KeyboardInterrupt):
        append_and_fail(folder, 1)
    assert names(folder) == before


@pytest.mark.parametrize("change", ["saved", "removed", "damaged"])
def test_another_index_is_not_appended_to(folder: Path, change: str) -> None:
    facts = open_index(folder).facts
    if change == "saved":
        append(folder, ["by another"], first=30)
    elif change == "removed":
        (folder / "index.json").unlink()
    else:
        (folder / "index.json").write_text("{")
    content = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(IndexChangedError), append_index(folder, facts, vectors_of(0)):
        pass
    assert {path: path.read_bytes() for path in folder.iterdir()} == content


def test_one_writer_at_a_time(folder: Path) -> None:
    with append_index(folder, open_index(folder).facts, vectors_of(0)):
        with pytest.raises(BlockingIOError, match="another process is writing"):
            append(folder, ["second"])
        with pytest.raises(BlockingIOError, match="another process is writing"):
            save(folder, ["third"])


@posix
@pytest.mark.parametrize("why", ["a second name", "no locks"])
def test_files_that_others_may_use_are_copied(tmp_path: Path, why: str, monkeypatch: Any) -> None:
    """Backups often are second names of the same files."""
    folder = tmp_path / "index"
    save(folder, TEXTS[:2], labelled=True)
    paths = [file_of(folder, kind) for kind in KINDS]
    content = [path.read_bytes() for path in paths]
    if why == "a second name":
        for path in paths:
            os.link(path, tmp_path / path.name)
    else:
        monkeypatch.setattr("bge_micro.search.saved.lock.lock_handle", lambda handle: None)
    append_labelled(folder, slice(2, 5))
    if why == "a second name":
        assert [(tmp_path / path.name).read_bytes() for path in paths] == content
    assert not any(path.exists() for path in paths)
    assert len(names(folder)) == 6
    save(tmp_path / "whole", labelled=True)
    assert_same(folder, tmp_path / "whole")


@posix
def test_all_is_on_the_disk_before_index_json_says_so(folder: Path, monkeypatch: Any) -> None:
    """Rows come before the header that counts them."""
    events: list[tuple[str, int]] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        events.append(("sync", os.fstat(handle).st_ino))
        fsync(handle)

    def noted_replace(source: Any, target: Any) -> None:
        events.append(("replace", 0))
        replace(source, target)

    finish = writer_module.FORMATS["npy"].finish  # type: ignore[attr-defined]

    def noted_finish(self: Any, file: Any, count: int) -> None:
        events.append(("header", 0))
        finish(self, file, count)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    monkeypatch.setattr(writer_module.FORMATS["npy"], "finish", noted_finish)
    append(folder, ["new"], first=30)
    vectors = ("sync", file_of(folder, "vectors").stat().st_ino)
    texts = ("sync", file_of(folder, "texts").stat().st_ino)
    header, replaced = events.index(("header", 0)), events.index(("replace", 0))
    assert vectors in events[:header]
    assert texts in events[:replaced]
    assert vectors in events[header:replaced]


def test_rows_of_an_interrupted_run_are_kept(tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "new" / "index"
    monkeypatch.setattr(writer_module, "CHECKPOINT_SECONDS", 0)

    def run(rows: int, fail: bool, resume: bool = True) -> None:
        with new_index(folder, "space", OPTIONS, vectors_of(0), resume=resume) as writer:
            for row in range(rows):
                writer.append(TEXTS[row : row + 1], vectors_of(1, first=6 * row))
                writer.checkpoint()
            if fail:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(3, fail=True)
    for rows, kept in ((1, 3), (4, 4)):
        with pytest.raises(KeyboardInterrupt):
            run(rows, fail=True)
        with pytest.raises(FileNotFoundError):
            open_index(folder)
        found = open_index(folder, name="unfinished.json")
        assert list(found.texts) == TEXTS[:kept], "fewer rows do not replace more"
        assert np.array_equal(found.vectors, vectors_of(kept))
        assert len(names(folder)) == 4
    with pytest.raises(KeyboardInterrupt):
        run(1, fail=True, resume=False)
    assert list(open_index(folder, name="unfinished.json").texts) == TEXTS[:1]
    run(5, fail=False)
    assert list(open_index(folder).texts) == TEXTS
    assert len(names(folder)) == 4
    assert "unfinished.json" not in names(folder)
