"""The notes in a folder: which files there are, in one order on every system."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bge_micro.search.notes.extra import import_extra

MARKDOWN = (".md", ".markdown")
ENDINGS = (*MARKDOWN, ".txt")

# In any folder, for what is below it; the second is read after the first.
IGNORE_FILES = (".gitignore", ".ignore")

# The patterns of a folder, and that folder's path below the root with a slash at its end.
_Rules = tuple[tuple[str, Any], ...]


class FoundFile(NamedTuple):
    """A note: its path below the root, with slashes, and where it is."""

    name: str
    path: Path


def find_notes(
    root: Path,
    *,
    follow_links: bool = False,
    leave_out: Path | None = None,
    skip: Callable[[str, str], None],
) -> Iterator[FoundFile]:
    """Yield the notes below a folder, sorted by name within each folder.

    Hidden files and folders are left out, and what patterns of .gitignore and .ignore name.

    Args:
        root: The folder; it may be a link.
        follow_links: Whether links to files and folders are followed, also out of the folder. Each
            folder is read once.
        leave_out: A folder that is not read.
        skip: Called with the name of a folder that cannot be read, and why.

    Raises:
        OSError: The root cannot be read.
        ImportError: There are patterns, and pathspec is not installed.
    """
    os.listdir(root)  # raises what is to be raised
    seen = {_identity(root)} | (
        {_identity(leave_out)} if leave_out and leave_out.exists() else set()
    )
    yield from _below(root, "", (), seen, follow_links, skip)


def _identity(path: Path | os.DirEntry[str]) -> tuple[int, int]:
    found = os.stat(path)  # of Windows too, which a DirEntry's own stat has not
    return found.st_dev, found.st_ino


def _below(
    folder: Path,
    prefix: str,
    rules: _Rules,
    seen: set[tuple[int, int]],
    follow_links: bool,
    skip: Callable[[str, str], None],
) -> Iterator[FoundFile]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        rules = (*rules, *_rules_of(folder, prefix, {entry.name for entry in entries}))
    except OSError as error:
        skip(prefix or str(folder), f"cannot be read: {error.strerror}")
        return
    for entry in entries:
        name = prefix + entry.name
        if entry.name.startswith(".") or (entry.is_symlink() and not follow_links):
            continue
        if entry.is_dir():
            if not _is_ignored(f"{name}/", rules) and _identity(entry) not in seen:
                seen.add(_identity(entry))
                yield from _below(Path(entry.path), f"{name}/", rules, seen, follow_links, skip)
        elif name.lower().endswith(ENDINGS) and entry.is_file() and not _is_ignored(name, rules):
            yield FoundFile(name, Path(entry.path))


def _rules_of(folder: Path, prefix: str, names: set[str]) -> _Rules:
    """Return the patterns that a folder holds for what is in it."""
    lines: list[str] = []
    for name in IGNORE_FILES:
        if name in names:
            lines += (folder / name).read_text("utf-8-sig", errors="replace").splitlines()
    if not lines:
        return ()
    pathspec = import_extra("pathspec", f"The ignore file in {folder}")
    return ((prefix, pathspec.GitIgnoreSpec.from_lines(lines)),)


def _is_ignored(name: str, rules: _Rules) -> bool:
    """Tell whether the innermost pattern that names a file or folder ignores it."""
    for prefix, spec in reversed(rules):
        ignored: bool | None = spec.check_file(name.removeprefix(prefix)).include
        if ignored is not None:
            return ignored
    return False
