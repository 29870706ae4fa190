"""Names of written files: targets of links, partial names, and names in errors."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

WINDOWS = os.name == "nt"

PARTIAL = "partial"

# File names have at most 255 bytes, and a partial name adds 27.
_MOST_NAME_BYTES = 200


def target_of(path: str | Path) -> Path:
    """Return the file to make or replace; links are followed.

    Raises:
        ValueError: It is a folder, pipe or device, which cannot be replaced.
        PermissionError: It is a link that another user put into a shared folder.
    """
    target = followed(path)
    if target.exists() and not target.is_file():
        found = "a folder" if target.is_dir() else "a pipe or device"
        raise ValueError(f"{path}: is {found}, expected the name of a file to write.")
    return target


def followed(path: str | Path) -> Path:
    """Return where a path's links lead, unless it is another user's link in a shared folder."""
    link = Path(path)
    for _ in range(40):  # as many as Linux follows; `realpath` ends where links form a circle
        if not link.is_symlink():
            break
        folder = link.parent.stat()
        shared = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
        if shared and link.lstat().st_uid not in (os.geteuid(), folder.st_uid):
            found = f"the link of another user, {link}, in a folder that everybody can write to"
            raise PermissionError(errno.EACCES, f"goes through {found}", str(path))
        link = link.parent / os.readlink(link)
    return Path(os.path.realpath(path))


def partial_path(target: Path, ending: str = PARTIAL) -> Path:
    """Return a name beside a target that cannot be guessed; its ending says what it is."""
    return target.with_name(f".{_label(target)}.{secrets.token_hex(8)}.{ending}")


def _label(target: Path) -> str:
    name = os.fsencode(target.name)
    return target.name if len(name) <= _MOST_NAME_BYTES else sha256(name).hexdigest()


def find_own(target: Path, ending: str = PARTIAL) -> list[Path]:
    """Return the partial files beside a target that runs of this user have left."""
    pattern = re.compile(rf"\.{re.escape(_label(target))}\.[0-9a-f]{{16}}\.{ending}")
    found = []
    for entry in os.scandir(target.parent):
        if pattern.fullmatch(entry.name):
            with suppress(OSError):  # it may have been removed
                if is_own(entry.stat(follow_symlinks=False)):
                    found.append(Path(entry.path))
    return sorted(found)


def is_own(found: os.stat_result) -> bool:
    """Tell whether this is a folder or, under one name only, a regular file of this user."""
    if not stat.S_ISDIR(found.st_mode) and not (stat.S_ISREG(found.st_mode) and found.st_nlink < 2):
        return False
    return WINDOWS or found.st_uid == os.geteuid()


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Have OSErrors of the body name this file: the system's name no file, or the partial one."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        del error.filename2  # of a renaming; None would be shown
        raise
