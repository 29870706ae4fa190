"""An output file that appears whole or not at all, and whose making can be interrupted and resumed.

Until it is complete there are two files beside the file NAME, both with its permissions and under
a random TOKEN: `.NAME.TOKEN.unfinished` with the rows so far, and `.NAME.TOKEN.journal`, which says
how many of them are complete. The journal's first line names the work; then every two seconds a
line gives the rows done, their bytes and a digest of the rows. The rows are flushed to the disk
before the journal counts them, so the last whole line of the journal is true at any end of a run,
also after kill -9 or a power failure. A resumed run finds the two files by listing the folder, and
uses them only if they belong to this user (`atomic.find_own`). It cuts the unfinished file to the
rows that the journal counts, reads the same rows of its input again, compares them with the digest,
and continues.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from bge_micro.atomic import (
    atomic_file,
    create_file,
    find_own,
    lock,
    make_folder_of,
    open_own,
    partial_path,
    publish_file,
    sync_folder,
    target_of,
)
from bge_micro.cli.texts import Row

JOURNAL_SECONDS = 2.0

_UNFINISHED, _JOURNAL = "unfinished", "journal"


@dataclass(frozen=True)
class Done:
    """The rows done so far: a line of the journal.

    Attributes:
        rows: Rows read and written.
        size: Bytes of the unfinished file that they take.
        digest: Of all these rows, block by block.
        truncated: How many of their texts were too long.
    """

    rows: int = 0
    size: int = 0
    digest: str = ""
    truncated: int = 0


class PartialFile:
    """The unfinished output of a run.

    Attributes:
        file: Its rows, at whose end the next are written.
        done: What is done.
        resumed: Whether the journal counts rows, so that another run can go on.
    """

    def __init__(self, path: str | Path, identity: dict[str, Any]) -> None:
        """Take the file to make and what tells one kind of work from another; make its folder.

        Raises:
            ValueError, OSError: As `atomic.target_of` and `atomic.make_folder_of`.
        """
        self._shown = path
        self._target = target_of(path)
        make_folder_of(self._target, shown=path)
        self._identity = identity
        self._partial = partial_path(self._target, _UNFINISHED)
        self.done = Done()
        self.resumed = False
        self.file: IO[bytes] = BytesIO()  # until they are opened
        self._journal: IO[bytes] = BytesIO()
        self._opened = False

    @property
    def name(self) -> str:
        """The name of the file to make."""
        return Path(self._shown).name

    def open(self, *, resume: bool) -> None:
        """Open it, locked against other runs; at its end if there is something to resume.

        If this is interrupted at any point, an earlier run can still be resumed.

        Raises:
            ValueError: The unfinished file is of other work than this, or another process works
                on it.
            OSError: It cannot be written.
        """
        found = find_own(self._target, _UNFINISHED)
        for path in found:
            if not self.resumed:
                self._open_found(path, resume)
        if not self.resumed:
            self.file = create_file(self._partial, self._target, shown=self._shown)
            journal = self._partial.with_suffix(f".{_JOURNAL}")
            self._journal = create_file(journal, self._target, shown=self._shown)
            self._write_line(self._identity)
        if set(find_own(self._target, _UNFINISHED)) - {*found, self._partial}:
            raise self._taken()  # by a process that began at the same moment
        for journal in find_own(self._target, _JOURNAL):
            if not journal.with_suffix(f".{_UNFINISHED}").exists():
                journal.unlink(missing_ok=True)  # the run was killed when it had just published
        self._noted = time.monotonic()
        self._opened = True

    def _open_found(self, path: Path, resume: bool) -> None:
        """Go on with what another run has left, or remove it."""
        try:
            self.file = open_own(path, shown=self._shown)
        except FileNotFoundError:
            raise self._taken() from None
        if not lock(self.file, path):
            raise self._taken()
        journal = path.with_suffix(f".{_JOURNAL}")
        if resume:
            with suppress(FileNotFoundError):
                self._journal = open_own(journal, shown=self._shown)
        lines, size = _whole_lines(self._journal)
        if len(lines) < 2:
            self._journal.close()
            _remove(self.file, path)
            return
        self.resumed = True
        self._partial = path
        self._check(lines[0])
        self.done = Done(**lines[-1])
        if self.file.seek(0, os.SEEK_END) < self.done.size:
            raise ValueError(f"{path}: is shorter than its journal says; remove it.")
        for part, end in ((self._journal, size), (self.file, self.done.size)):
            part.truncate(end)
            part.seek(end)

    def _taken(self) -> ValueError:
        return ValueError(f"{self._shown}: another process is writing it.")

    def _check(self, found: dict[str, Any]) -> None:
        for name, wanted in self._identity.items():
            if found.get(name) != wanted:
                raise ValueError(
                    f"{self._partial}: the unfinished work is of another kind: {name} is "
                    f"{found.get(name)!r} there and {wanted!r} here; give the same options, or "
                    "leave --resume away to begin anew."
                )

    def skip_done(
        self, blocks: Iterator[list[Row]], done: Callable[[list[Row]], object] = len
    ) -> None:
        """Read the rows that are done, and check that they are the same as in the earlier run.

        Args:
            blocks: All rows of the input.
            done: Is called with each block.

        Raises:
            ValueError: They are not.
        """
        digest, rows = "", 0
        while rows < self.done.rows:
            block = next(blocks, None)
            if block is None:
                break
            done(block)
            digest, rows = _chained(digest, block), rows + len(block)
        if (digest, rows) != (self.done.digest, self.done.rows):
            raise ValueError(
                f"{self._shown}: the input is not what the unfinished run has read: its first "
                f"{self.done.rows} rows have changed; leave --resume away to begin anew."
            )

    def note(self, block: Sequence[Row], truncated: int) -> None:
        """Record a block that has been appended to the file."""
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
        if not self.resumed:
            sync_folder(self._target.parent)
        self._noted = time.monotonic()
        self.resumed = True

    def _write_line(self, value: dict[str, Any]) -> None:
        self._journal.write(json.dumps(value).encode("ascii") + b"\n")
        self._journal.flush()

    def keep(self) -> bool:
        """Close it after a failure: keep what the journal counts, with what came since.

        Returns:
            Whether there is anything to resume. If not, this run's files are removed; files of an
            earlier run that `open` has not yet begun to use are kept.
        """
        if not self._partial.exists():  # it had just been published, or not yet been created
            self.resumed = False
        if self.resumed and self._opened:
            # A full disk may refuse this, or the file may be closed: then the previous line is the
            # last.
            with suppress(OSError, ValueError):
                self._write_note()
        with suppress(OSError):
            self._journal.close()
        if self.resumed:
            with suppress(OSError):
                self.file.close()
        else:
            _remove(self.file, self._partial)
        return self.resumed and self._opened

    def publish(self, assemble: Callable[[IO[bytes], IO[bytes]], None] | None) -> None:
        """Have the file take its name.

        Args:
            assemble: Makes the file from the unfinished one, if that is not the file already.
        """
        if assemble is None:
            publish_file(self.file, self._partial, self._target, shown=self._shown)
        else:
            self.file.seek(0)
            with atomic_file(self._shown) as file:
                assemble(self.file, file)
        self._journal.close()
        _remove(self.file, self._partial)


def _remove(file: IO[bytes], path: Path) -> None:
    """Close and remove an unfinished file and its journal, the journal first."""
    path.with_suffix(f".{_JOURNAL}").unlink(missing_ok=True)
    if os.name == "nt":  # where no open file can be removed
        file.close()
    path.unlink(missing_ok=True)  # still locked
    with suppress(OSError):  # a full disk refuses what was not written yet
        file.close()


@contextmanager
def resumable(
    path: str | Path, identity: dict[str, Any], *, resume: bool, tell: Callable[[str], None]
) -> Iterator[PartialFile]:
    """Give the unfinished file of a target; if the body fails, keep it and tell how to go on.

    Raises:
        ValueError, OSError: As `PartialFile` and `PartialFile.open`.
    """
    partial = PartialFile(path, identity)
    try:
        partial.open(resume=resume)
        yield partial
    except BaseException:
        if partial.keep():
            tell(
                f"{partial.name}: {partial.done.rows} rows are done and kept; the same command "
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
        if row.kept:
            chain.update(repr(row.kept).encode("utf-8", "surrogatepass"))
    return chain.hexdigest()


def _whole_lines(journal: IO[bytes]) -> tuple[list[dict[str, Any]], int]:
    """Return a journal's whole lines and the bytes they take; none if one is damaged."""
    data = journal.read()
    whole = data[: data.rfind(b"\n") + 1]  # what follows was cut off
    try:
        return [json.loads(line) for line in whole.splitlines()], len(whole)
    except ValueError:
        return [], 0
