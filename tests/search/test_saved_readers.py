"""Readers of a saved index beside writers."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from bge_micro.search import Index, SavedIndexError
from bge_micro.search.saved import open_index, reader

from .saved_folder import names, save, vectors_of


def test_a_reader_that_is_overtaken_reads_again(folder: Path, monkeypatch: Any) -> None:
    open_stored = reader.open_stored
    saves = iter(range(3))

    def overtaken(path: Path) -> Any:
        if (number := next(saves, None)) is not None:
            save(folder, [f"generation {number}"] * number, first=number)
        return open_stored(path)

    monkeypatch.setattr(reader, "open_stored", overtaken)
    saved = open_index(folder)
    assert list(saved.texts) == ["generation 2"] * 2
    assert np.array_equal(saved.vectors, vectors_of(2, first=2))


def test_a_reader_that_is_overtaken_for_ever_gives_up(folder: Path, monkeypatch: Any) -> None:
    def overtaken(path: Path) -> Any:
        save(folder)
        raise FileNotFoundError(errno.ENOENT, "No such file", str(path))

    monkeypatch.setattr(reader, "open_stored", overtaken)
    monkeypatch.setattr(reader, "_MOST_TRIES", 5)
    with pytest.raises(SavedIndexError, match="is saved again and again"):
        open_index(folder)


@pytest.mark.parametrize("mapped", [True, False])
def test_onto_the_folder_it_was_loaded_from(tmp_path: Path, mapped: bool) -> None:
    model = SentenceTransformer()
    index = Index(model)
    index.add(["a cat", "a dog"])
    index.save(tmp_path / "index")
    for count in (2, 2, 3):
        loaded = Index.load(tmp_path / "index", model, mmap=mapped)
        if count == 3:
            loaded.add("a ship")
        loaded.save(tmp_path / "index")
        assert len(loaded.search("a cat")) == count, "what was loaded can be used still"
        again = Index.load(tmp_path / "index", model)
        assert again.search("a cat") == loaded.search("a cat")
    assert len(names(tmp_path / "index")) == 4 or os.name == "nt"


def test_threads_read_texts_at_once(folder: Path) -> None:
    save(folder, [str(row) for row in range(2000)])
    saved = open_index(folder)
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(list(saved.texts))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[str(row) for row in range(2000)]] * 4
