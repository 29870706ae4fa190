"""An updated index of notes is that of a run from nothing; only what changed is encoded."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from bge_micro import SentenceTransformer
from bge_micro.search import Index
from bge_micro.search.notes import NotesReport, update_notes
from bge_micro.search.notes import queue as queue_module
from bge_micro.search.notes import update as update_module
from bge_micro.search.saved import writer as writer_module

from .saved_folder import file_of, names

pytest.importorskip("markdown_it", reason="Markdown needs the extra bge-micro[notes]")
pytest.importorskip("pathspec", reason="ignore files need the extra bge-micro[notes]")


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return SentenceTransformer()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    root = tmp_path / "notes"
    for name, text in {
        "a.md": "# One\ntext of one\n# Two\ntext of two\n",
        "b/c.md": "---\nx: 1\n---\nbefore\n## Three\ntext of three\n",
        "b/d.txt": "plain",
        "empty.md": "---\nx: 1\n---\n\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def update(root: Path, model: SentenceTransformer, folder: str = "index", **options: Any) -> Any:
    """Update, and see that the index equals one that is made from nothing."""
    report = update_notes(root, root.parent / folder, model, **options)
    fresh = root.parent / "fresh"
    update_notes(root, fresh, model, **options)
    for kind in ("vectors", "texts", "ids", "metadata"):
        made = file_of(root.parent / folder, kind).read_bytes()
        assert made == file_of(fresh, kind).read_bytes()
    for path in fresh.iterdir():
        path.unlink()
    fresh.rmdir()
    assert report.passages == len(Index.load(root.parent / folder, model))
    return counts(report)


def counts(report: NotesReport) -> tuple[int, int, int, int, int]:
    """Return notes that are new, changed, removed, unchanged; and passages that were encoded."""
    return report.added, report.changed, report.removed, report.unchanged, report.embedded


def test_only_what_changed_is_encoded(notes: Path, model: SentenceTransformer) -> None:
    assert update(notes, model) == (3, 0, 0, 0, 5)
    before = names(notes.parent / "index")
    assert update(notes, model) == (0, 0, 0, 3, 0)
    assert names(notes.parent / "index") == before, "nothing was written"
    (notes / "a.md").write_text("# One\ntext of one\n# Two\nanother text\n")
    assert update(notes, model) == (0, 1, 0, 2, 1)
    (notes / "b" / "d.txt").unlink()
    assert update(notes, model) == (0, 0, 1, 2, 0)
    (notes / "0.md").write_text("# First\nof all")
    assert update(notes, model) == (1, 0, 0, 2, 1)
    (notes / "b").rename(notes / "moved")
    assert update(notes, model) == (1, 0, 1, 2, 0)
    (notes / "empty.md").write_text("no more")
    assert update(notes, model) == (1, 0, 0, 3, 1)
    (notes / "empty.md").write_text("\n")
    assert update(notes, model) == (0, 0, 1, 3, 0)
    (notes / "a.md").write_text("---\nnew: matter\n---\n# One\ntext of one\n# Two\nanother text\n")
    assert update(notes, model) == (0, 1, 0, 2, 0), "lines have changed, texts have not"


@pytest.mark.parametrize(
    "options",
    [{"precision": "int8"}, {"truncate_dim": 64}, {"prompt": "x: "}],
    ids=["precision", "dimensions", "prompt"],
)
def test_vectors_of_another_kind_are_not_used(
    notes: Path, model: SentenceTransformer, options: dict[str, Any]
) -> None:
    update(notes, model)
    assert update(notes, model, **options) == (3, 0, 0, 0, 5)


def test_another_overlap_splits_again(notes: Path, model: SentenceTransformer) -> None:
    (notes / "long.md").write_text("A sentence of some words. " * 300)
    *_, encoded = update(notes, model)
    assert update(notes, model)[3:] == (4, 0)
    added, changed, _, _, again = update(notes, model, overlap=50)
    assert (added, changed) == (0, 4)
    assert 0 < again < encoded


@pytest.mark.parametrize("damage", ["index.json", "vectors"])
def test_a_damaged_index_is_made_anew(notes: Path, model: SentenceTransformer, damage: str) -> None:
    update(notes, model)
    folder = notes.parent / "index"
    path = folder / damage if "." in damage else file_of(folder, damage)
    path.write_bytes(path.read_bytes()[:100])
    assert update(notes, model) == (3, 0, 0, 0, 5)


def test_an_interrupted_run_is_not_lost(
    notes: Path, model: SentenceTransformer, monkeypatch: Any
) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(queue_module, "_PASSAGES", 2)
    monkeypatch.setattr(update_module, "_NOTES", 1)

    def stop(done: int) -> None:
        if done:
            raise KeyboardInterrupt

    report = NotesReport()
    with pytest.raises(KeyboardInterrupt):
        update_notes(notes, notes.parent / "index", model, report=report, advance=stop)
    assert report.writer is not None
    assert report.writer.kept == report.embedded == 2
    assert update(notes, model) == (3, 0, 0, 0, 3)


def test_what_cannot_be_read_is_named(
    notes: Path, model: SentenceTransformer, monkeypatch: Any
) -> None:
    monkeypatch.setattr("bge_micro.search.notes.reading.MOST_BYTES", 1 << 12)
    (notes / "latin.md").write_bytes("Übung".encode("latin-1"))
    (notes / "huge.txt").write_bytes(b"a" * (1 << 12) + b"b")
    (notes / "large.txt").write_bytes(b"a " * (1 << 11))
    (notes / "utf16.md").write_bytes("# Ü\nx".encode("utf-16"))
    report = update_notes(notes, notes.parent / "index", model)
    assert report.skipped == [
        ("huge.txt", "has more than 4096 bytes"),
        ("latin.md", "is not UTF-8: bad byte at position 1"),
    ]
    assert report.added == 5
    assert "utf16.md#Ü" in Index.load(notes.parent / "index", model).ids


def test_many_changes_in_any_order(
    notes: Path, model: SentenceTransformer, monkeypatch: Any
) -> None:
    monkeypatch.setattr(queue_module, "_PASSAGES", 3)
    monkeypatch.setattr(update_module, "_NOTES", 2)
    rng = random.Random(5)
    for _ in range(12):
        for _ in range(rng.randint(0, 4)):
            path = notes / f"{rng.randrange(12)}.md"
            if path.exists() and rng.random() < 0.4:
                path.unlink()
            else:
                path.write_text(
                    "".join(f"# {rng.randrange(4)}\nx\n" for _ in range(rng.randint(0, 6)))
                )
        update(notes, model)
