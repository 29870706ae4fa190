"""Make the index of a folder of notes, or bring it up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bge_micro.search.known import KnownVectors
from bge_micro.search.notes.files import FoundFile, find_notes
from bge_micro.search.notes.passages import Splitter
from bge_micro.search.notes.queue import Queue
from bge_micro.search.notes.reading import NoNoteError, decode, front_matter_end, read_bytes
from bge_micro.search.notes.report import NotesReport
from bge_micro.search.notes.rows import rows_of_notes
from bge_micro.search.saved import (
    UNFINISHED_FILE,
    SavedIndex,
    SavedIndexError,
    new_index,
    open_index,
)
from bge_micro.search.space import index_options

if TYPE_CHECKING:
    from bge_micro.choices import Precision
    from bge_micro.model import SentenceTransformer

# Part of each note's hash: another number has all notes split again.
_SPLIT_VERSION = 1

# Notes that are read and tokenized together.
_NOTES = 64

_Rows = tuple[SavedIndex, range]


class _Note(NamedTuple):
    """A note: its file, and the rows that an index has of it if it is unchanged."""

    file: FoundFile
    known: _Rows | None


def update_notes(
    root: str | Path,
    folder: str | Path,
    model: SentenceTransformer,
    *,
    precision: Precision = "float32",
    truncate_dim: int | None = None,
    overlap: int = 0,
    follow_links: bool = False,
    prompt: str | None = None,
    report: NotesReport | None = None,
    advance: Callable[[int], object] = lambda notes: None,
) -> NotesReport:
    """Make the index of a folder of notes, or bring it up to date.

    The index is the same as one that is made anew. Passages that an index in the folder has
    already, or a run that was interrupted, are not encoded again. If nothing has changed, nothing
    is written.

    Args:
        root: The folder of notes, see `find_notes`.
        folder: Of the index, see `new_index`.
        model: The model.
        precision: Of the vectors.
        truncate_dim: Length to cut vectors to.
        overlap: How many tokens at most a passage shares with the one before it, where a section is
            longer than what the model takes.
        follow_links: Whether links are followed.
        prompt: Text to put before each passage; None for the model's prompt for documents.
        report: Filled in while the update runs.
        advance: Called with 1 for each note that is done.

    Raises:
        OSError: The notes cannot be read, or the index cannot be written.
        ImportError: The extra ``bge-micro[notes]`` is not installed.
        ValueError: The overlap is too large.
    """
    report = report or NotesReport()
    options = index_options(truncate_dim, precision)
    prompt = model.document_prompt if prompt is None else prompt
    plan = model.plan(prompt=prompt, truncation="silent", **options)
    splitter = Splitter(model, plan, overlap)
    space_id = model.space_id_of(**options)

    def opened(name: str) -> SavedIndex | None:
        return _opened(folder, name, space_id, options, prompt)

    old, unfinished = opened("index.json"), opened(UNFINISHED_FILE)
    indexed = _indexed_notes(old)
    settings = f"{_SPLIT_VERSION} {plan.limit} {overlap} {prompt}".encode()

    def skip(name: str, why: str) -> None:
        report.skipped.append((name, why))

    files = find_notes(Path(root), follow_links=follow_links, leave_out=Path(folder), skip=skip)
    notes = list(_compared(files, old, indexed, settings, report))
    if old and not (report.added or report.changed or report.removed):
        report.passages = old.facts.rows
        return report

    known = KnownVectors()
    if unfinished:
        known.add(unfinished, range(unfinished.facts.rows))
    unchanged = {note.file.name for note in notes if note.known}
    for name, (rows, _) in indexed.items():
        if old and name not in unchanged:
            known.add(old, rows)
    none = model.encode([], **options)
    with new_index(folder, space_id, options, none, prompt=prompt, resume=True) as writer:
        report.writer = writer
        queue = Queue(writer, lambda texts: model.run(texts, plan).vectors, known, report)
        for is_known, group in groupby(notes, lambda note: note.known is not None):
            if is_known:
                for note in group:
                    queue.copy(*note.known)  # type: ignore[misc]
                    advance(1)
            else:
                _read_changed(group, settings, splitter, queue, report, advance)
        queue.flush()
    report.passages = writer.rows
    return report


def _opened(
    folder: str | Path, name: str, space_id: str, options: dict[str, Any], prompt: str
) -> SavedIndex | None:
    """Return the index that a folder holds, if its vectors and ours are of the same kind."""
    try:
        saved = open_index(folder, name=name)
    except (FileNotFoundError, NotADirectoryError, SavedIndexError):  # it is replaced
        return None
    ours = space_id, options, prompt
    return saved if (saved.space_id, saved.options, saved.prompt) == ours else None


def _indexed_notes(saved: SavedIndex | None) -> dict[str, tuple[range, str]]:
    """Return the rows and the hash of each note in an index."""
    if saved is None or saved.metadata is None:
        return {}
    found: dict[str, tuple[range, str]] = {}
    for row, value in enumerate(saved.metadata):
        if isinstance(value, dict) and isinstance(value.get("path"), str):
            name = value["path"]
            rows, _ = found.get(name, (range(row, row), ""))
            if rows.stop == row:  # as `update_notes` writes them: one note after the other
                found[name] = range(rows.start, row + 1), str(value.get("hash"))
    return found


def _hash(data: bytes, settings: bytes) -> str:
    return blake2b(data, digest_size=16, key=blake2b(settings, digest_size=16).digest()).hexdigest()


def _compared(
    files: Iterator[FoundFile],
    old: SavedIndex | None,
    indexed: dict[str, tuple[range, str]],
    settings: bytes,
    report: NotesReport,
) -> Iterator[_Note]:
    """Yield the notes that have text, with the rows of those that are in the index unchanged."""
    gone = set(indexed)
    for file in files:
        try:
            data = read_bytes(file.path)
            rows, found = indexed.get(file.name, (range(0), ""))
            if old and found == _hash(data, settings):
                gone.discard(file.name)
                report.unchanged += 1
                yield _Note(file, (old, rows))
                continue
            text = decode(data)
        except NoNoteError as error:
            report.skipped.append((file.name, str(error)))
            continue
        if not text[front_matter_end(text) :].strip():
            continue
        if file.name in gone:
            gone.discard(file.name)
            report.changed += 1
        else:
            report.added += 1
        yield _Note(file, None)
    report.removed = len(gone)


def _read_changed(
    notes: Iterator[_Note],
    settings: bytes,
    splitter: Splitter,
    queue: Queue,
    report: NotesReport,
    advance: Callable[[int], object],
) -> None:
    """Read notes again, which may have changed meanwhile, and put their passages into the queue."""
    batch: list[tuple[str, str, str]] = []
    for note in notes:
        try:
            data = read_bytes(note.file.path)
            batch.append((note.file.name, decode(data), _hash(data, settings)))
        except NoNoteError as error:
            report.skipped.append((note.file.name, str(error)))
        if len(batch) == _NOTES:
            queue.add(rows_of_notes(batch, splitter))
            advance(len(batch))
            batch = []
    queue.add(rows_of_notes(batch, splitter))
    advance(len(batch))
