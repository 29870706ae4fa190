"""Write a file so that it appears under its name whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """Give a file to write to, which takes the name `path` when the body is done.

    It stands in the same folder meanwhile, and is removed if the body fails. A file that had the
    name stays untouched until then, and hands on its permissions. Links are followed.

    Raises:
        OSError: The folder does not exist or cannot be written to.
        ValueError: `path` is a folder, pipe or device, which cannot be replaced.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        found = "a folder" if target.is_dir() else "a pipe or device"
        raise ValueError(f"{path}: is {found}, expected the name of a file to write.")
    if not target.parent.is_dir():
        raise ValueError(f"{path}: the folder {target.parent} does not exist.")
    partial = target.with_name(f".bge-micro-{secrets.token_hex(4)}.partial")
    try:
        with partial.open("x+b") as file:
            yield file
            file.flush()
            # Without it a crash of the system may leave the new name with nothing behind it.
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, partial)
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
