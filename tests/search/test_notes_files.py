"""Which files of a folder are notes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bge_micro.search.notes.files import find_notes

from .saved_folder import posix

pytest.importorskip("pathspec", reason="ignore files need the extra bge-micro[notes]")


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("text")


def found(root: Path, *, follow_links: bool = False, leave_out: Path | None = None) -> list[str]:
    skipped: list[tuple[str, str]] = []
    notes = list(
        find_notes(
            root,
            follow_links=follow_links,
            leave_out=leave_out,
            skip=lambda *what: skipped.append(what),
        )
    )
    assert not skipped
    assert all(note.path == root / note.name for note in notes)
    return [note.name for note in notes]


def test_endings_and_hidden_files_and_order(tmp_path: Path) -> None:
    make(tmp_path, "b.md", "a.MD", "c/z.markdown", "c/a.txt", "c/d/e.md", "B.md", "ä.md")
    make(tmp_path, ".hidden.md", ".obsidian/x.md", "c/.trash/y.md", "picture.png", "md", "x.md.bak")
    (tmp_path / "folder.md").mkdir()
    assert found(tmp_path) == [
        "B.md",
        "a.MD",
        "b.md",
        "c/a.txt",
        "c/d/e.md",
        "c/z.markdown",
        "ä.md",
    ]


@pytest.mark.parametrize("name", [".gitignore", ".ignore"])
def test_ignore_files(tmp_path: Path, name: str) -> None:
    make(tmp_path, "a.md", "b.tmp.md", "keep.tmp.md", "build/x.md", "c/build/y.md", "c/d/build.md")
    make(tmp_path, "c/only.md", "top/only.md", "c/not/a.md")
    (tmp_path / name).write_text("# a comment\n*.tmp.md\n!keep.tmp.md\nbuild/\n/top/only.md\n")
    (tmp_path / "c" / name).write_text("not\nd/*.md\n!b.tmp.md\n")
    make(tmp_path, "c/b.tmp.md")
    assert found(tmp_path) == ["a.md", "c/b.tmp.md", "c/only.md", "keep.tmp.md"]


@posix
def test_links(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    make(root, "a.md", "b/c.md")
    make(outside, "secret.md")
    (root / "link.md").symlink_to(outside / "secret.md")
    (root / "out").symlink_to(outside)
    (root / "b" / "loop").symlink_to(root)
    (root / "b" / "again").symlink_to(root / "b")
    (root / "broken.md").symlink_to("nowhere")
    assert found(root) == ["a.md", "b/c.md"]
    expected = ["a.md", "b/c.md", "link.md", "out/secret.md"]
    assert found(root, follow_links=True) == expected
    (tmp_path / "itself").symlink_to(root)
    assert found(tmp_path / "itself") == ["a.md", "b/c.md"]


@posix
def test_pipes_are_no_notes(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    os.mkfifo(tmp_path / "pipe.md")
    assert found(tmp_path) == ["a.md"]


def test_the_index_inside_of_the_notes(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "index/b.md")
    assert found(tmp_path, leave_out=tmp_path / "index") == ["a.md"]


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="needs a user who may not read all"
)
def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "b/c.md")
    (tmp_path / "b").chmod(0)
    skipped: list[tuple[str, str]] = []
    notes = find_notes(tmp_path, skip=lambda *what: skipped.append(what))
    assert [note.name for note in notes] == ["a.md"]
    assert skipped == [("b/", "cannot be read: Permission denied")]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        found(tmp_path / "nowhere")
