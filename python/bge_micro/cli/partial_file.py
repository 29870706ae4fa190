"""An output file that appears whole or not at all, and whose making can be broken off and resumed.

Beside the file to be, NAME, stand meanwhile `.NAME.partial`, its unfinished form, and
`.NAME.journal`, which says what of that is sound: a line that names what is being made, then every
two seconds a line with the rows done, the bytes they take and a digest of the rows themselves. The
partial file is on the disk before the journal speaks of it, so whenever a run ends, by kill -9 or
by the power, the last whole line of the journal is true. A resumed run cuts the partial file to
that, reads the same rows of its input again, checks them against the digest, and goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from bge_micro.cli.texts import Row

JOURNAL_SECONDS = 2.0


@dataclass(frozen=True)
class Done:
    """What is done: a line of the journal.

    Attributes:
        rows: Rows read and written.
        size: Bytes of the partial file that they take.
        digest: Of all these rows, block by block.
        truncated: How many of their texts were too long.
    """

    rows: int = 0
    size: int = 0
    digest: str = ""
    truncated: int = 0


class PartialFile:
    """The unfinished output of a run."""

    def __init__(self, target: Path, identity: dict[str, Any]) -> None:
        """Name its files; `open` makes them."""
        self.target = target
        self._identity = identity
        self._partial, self._journal_path, self._assembled = (
            target.with_name(f".{target.name}.{ending}")
            for ending in ("partial", "journal", "assembled")
        )
        self.done = Done()
        self.resumed = False
        self.file: IO[bytes] = BytesIO()  # until they are opened
        self._journal: IO[bytes] = BytesIO()
        self._opened = False

    def open(self, *, resume: bool) -> None:
        """Open it, locked against other runs; at its end if there is something to resume.

        Wherever this is broken off, what could be resumed before can be resumed still.

        Raises:
            ValueError: What was left unfinished is not what is to be made now, or another process
                is at work on it.
            OSError: It cannot be written.
        """
        # Opened without being cut, so that nothing is lost if another process has it.
        self.file = os.fdopen(os.open(self._partial, _CREATE, 0o666), "r+b")
        _lock(self.file, self._partial, self.target)
        lines, size = _whole_lines(self._journal_path) if resume else ([], 0)
        if len(lines) > 1:
            self._check(lines[0])
            self.done = Done(**lines[-1])
            self.resumed = True
            if self.file.seek(0, os.SEEK_END) < self.done.size:
                raise ValueError(f"{self._partial}: is shorter than its journal says; remove it.")
        self._journal = self._journal_path.open("ab")
        self._journal.truncate(size if self.resumed else 0)
        if not self.resumed:
            self._write_line(self._identity)
        self.file.truncate(self.done.size)
        self.file.seek(self.done.size)
        self._noted = time.monotonic()
        self._opened = True

    def _check(self, found: dict[str, Any]) -> None:
        for name, wanted in self._identity.items():
            if found.get(name) != wanted:
                raise ValueError(
                    f"{self._partial}: the unfinished work is of another kind: {name} is "
                    f"{found.get(name)!r} there and {wanted!r} here; give the same options, or "
                    "leave --resume away to begin anew."
                )

    def skip_done(self, blocks: Iterator[list[Row]]) -> None:
        """Read what is done already, and see that it is what was read then.

        Raises:
            ValueError: It is not.
        """
        digest, rows = "", 0
        while rows < self.done.rows:
            block = next(blocks, None)
            if block is None:
                break
            digest, rows = _chained(digest, block), rows + len(block)
        if (digest, rows) != (self.done.digest, self.done.rows):
            raise ValueError(
                f"{self.target}: the input is not what the unfinished run has read: its first "
                f"{self.done.rows} rows have changed; leave --resume away to begin anew."
            )

    def note(self, block: Sequence[Row], truncated: int) -> None:
        """Take account of a block that has been appended to the file."""
        self.done = Done(
            self.done.rows + len(block),
            self.file.tell(),
            _chained(self.done.digest, block),
            truncated,
        )
        if time.monotonic() - self._noted >= JOURNAL_SECONDS:
            self._write_note()

    def _write_note(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self._write_line(asdict(self.done))
        os.fsync(self._journal.fileno())
        self._noted = time.monotonic()
        self.resumed = True

    def _write_line(self, value: dict[str, Any]) -> None:
        self._journal.write(json.dumps(value).encode("ascii") + b"\n")
        self._journal.flush()

    def keep(self) -> bool:
        """Close it after a failure: keep what the journal knows of, with what came since.

        Returns:
            Whether there was anything to keep; if not, all is removed.
        """
        if not self._opened:
            self._close()
            self._remove_if_empty()
            return False
        if not self._partial.exists():  # it had just been published
            self.resumed = False
        if self.resumed:
            # A full disk may refuse this, a file be closed: then the line before stays the last.
            with suppress(OSError, ValueError):
                self._write_note()
        with suppress(OSError):
            self._close()
        self._assembled.unlink(missing_ok=True)
        if not self.resumed:
            self._remove()
        return self.resumed

    def _remove_if_empty(self) -> None:
        """Remove what a failure between the file's creation and the end of `open` has left.

        Nobody knows then whether the file is this run's: it may be another's that has the lock, or
        hold what can be resumed.
        """
        with suppress(OSError, ValueError), self._partial.open("r+b") as file:
            _lock(file, self._partial, self.target)
            if file.seek(0, os.SEEK_END) == 0:
                if os.name == "nt":  # no open file can be removed there
                    file.close()
                self._remove()

    def publish(self, assemble: Callable[[IO[bytes], IO[bytes]], None] | None) -> None:
        """Have the file take its name.

        Args:
            assemble: Makes the file from the partial one, if that is not the file already.
        """
        self.file.flush()
        result = self._partial
        if assemble is not None:
            result = self._assembled
            self.file.seek(0)
            with result.open("wb") as file:
                assemble(self.file, file)
                file.flush()
                os.fsync(file.fileno())
        else:
            # Without it a crash of the system may leave the new name with nothing behind it.
            os.fsync(self.file.fileno())
        if self.target.exists():
            shutil.copymode(self.target, result)
        if os.name == "nt":  # no open file can be renamed there
            self.file.close()
        os.replace(result, self.target)
        self._close()
        self._remove()

    def _close(self) -> None:
        self.file.close()
        self._journal.close()

    def _remove(self) -> None:
        for path in (self._partial, self._journal_path, self._assembled):
            path.unlink(missing_ok=True)


_CREATE = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def target_of(path: str) -> Path:
    """Return the file that a path means, links followed.

    Raises:
        ValueError: It is a folder, pipe or device, which cannot be replaced, or its folder does not
            exist.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        found = "a folder" if target.is_dir() else "a pipe or device"
        raise ValueError(f"{path}: is {found}, expected the name of a file to write.")
    if not target.parent.is_dir():
        raise ValueError(f"{path}: the folder {target.parent} does not exist.")
    return target


@contextmanager
def resumable(
    target: Path, identity: dict[str, Any], *, resume: bool, tell: Callable[[str], None]
) -> Iterator[PartialFile]:
    """Give the partial file of a target; if the body fails, keep it and tell how to go on.

    Raises:
        ValueError, OSError: As `PartialFile.open`.
    """
    partial = PartialFile(target, identity)
    try:
        partial.open(resume=resume)
        yield partial
    except BaseException:
        if partial.keep():
            tell(
                f"{target.name}: {partial.done.rows} rows are done and kept; the same command "
                "with --resume goes on from there."
            )
        raise


def _chained(digest: str, block: Sequence[Row]) -> str:
    """Return the digest of all rows so far: of the digest before, and the rows of a block."""
    chain = hashlib.blake2b(digest.encode("ascii"), digest_size=16)
    for row in block:
        text = row.text.encode("utf-8", "surrogatepass")
        chain.update(b"%d %d " % (row.index, len(text)))
        chain.update(text)
    return chain.hexdigest()


def _whole_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return a journal's whole lines and the bytes they take; none if there is no journal."""
    try:
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]  # what follows was cut off
        return [json.loads(line) for line in whole.splitlines()], len(whole)
    except (FileNotFoundError, ValueError):
        return [], 0


def _lock(file: IO[bytes], path: Path, target: Path) -> None:
    """Refuse a file that another process holds. The system lets go of it when a process ends."""
    if os.name == "nt":  # where the file cannot be replaced while another has it open
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between opening and locking another process may have given it its name, or removed it.
        mine = os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:
        raise ValueError(f"{target}: another process is writing it.")
