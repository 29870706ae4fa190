"""What the tests of atomic files write."""

from __future__ import annotations

from pathlib import Path

from bge_micro.atomic import atomic_file

OLD, NEW = b"old" * 1000, b"new" * 2000


def write(path: Path, data: bytes = NEW) -> None:
    with atomic_file(path) as file:
        file.write(data)
