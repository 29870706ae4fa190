"""The data files of an index while it is written: new ones, or those of an index, at their ends."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import IO

from bge_micro.atomic import copy_access, create_file, naming, open_own
from bge_micro.search.saved.facts import DataFile, Facts
from bge_micro.search.saved.stored_file import open_stored


class DataFiles:
    """Opens the files of each kind, and brings them to the disk.

    Attributes:
        created: The new files.
    """

    def __init__(
        self, folder: Path, old: Facts | None, *, base: Facts | None = None, in_place: bool = False
    ) -> None:
        """Take where they are.

        Args:
            folder: The index's folder.
            old: The index there, whose files' permissions new files get.
            base: The index whose rows come first; None for none.
            in_place: Whether its files may be written to behind their rows. Only one writer may do
                that.
        """
        self._folder = folder
        self._old = old
        self._base = base
        self._in_place = in_place
        self._token = secrets.token_hex(8)
        self._files: dict[str, tuple[Path, IO[bytes]]] = {}
        self.created: list[Path] = []

    def open(self, kind: str) -> IO[bytes]:
        """Open the file of a kind behind the rows of the base; a new one is empty without it."""
        first = self._base.files.get(kind) if self._base else None
        if first is None:
            path, file = self._create(kind)
        else:
            path, file = self._open_base(kind, first)
        self._files[kind] = path, file
        return file

    def _open_base(self, kind: str, first: DataFile) -> tuple[Path, IO[bytes]]:
        """Open a file of the base to append to it, or a copy of it.

        It is not written to if it has a second name, such as one of a backup, or another owner, or
        is of format 1, which does not tell the index's bytes from others behind them.
        """
        path = self._folder / first.name
        if self._in_place and first.size is not None:
            with suppress(PermissionError):
                file = open_own(path, shown=path)
                file.seek(first.size)
                return path, file
        new, file = self._create(kind)
        with open_stored(path) as source:
            _copy(
                source,
                file,
                os.fstat(source.fileno()).st_size if first.size is None else first.size,
            )
        return new, file

    def _create(self, kind: str) -> tuple[Path, IO[bytes]]:
        ending = "npy" if kind == "vectors" else "jsonl"
        path = self._folder / f"{kind}-{self._token}.{ending}"
        file = create_file(path, self._like(kind, path), shown=path)
        self.created.append(path)
        return path, file

    def _like(self, kind: str, path: Path) -> Path:
        """Return the file whose permissions a new one gets; the new one itself for none."""
        files = self._old.files if self._old else {}
        found = files.get(kind) or files.get("texts")
        return self._folder / found.name if found else path

    def sync(self) -> dict[str, DataFile]:
        """Bring all to the disk; return their names and the bytes up to where each is written."""
        found = {}
        for kind, (path, file) in self._files.items():
            with naming(path):
                file.flush()
                copy_access(file.fileno(), self._like(kind, path))
                os.fsync(file.fileno())
            found[kind] = DataFile(path.name, file.tell())
        return found

    def close(self) -> None:
        """Close them; what a full disk has not taken yet is lost."""
        for _, file in self._files.values():
            with suppress(OSError):
                file.close()


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    while size > 0:
        piece = source.read(min(size, 1 << 20))
        if not piece:  # it was cut: `open_index` says so
            break
        target.write(piece)
        size -= len(piece)
