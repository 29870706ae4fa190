"""What is in the folder of a saved index."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bge_micro.search import SavedIndexError
from bge_micro.search.saved import new_index, open_index
from bge_micro.search.space import index_options

from .saved_folder import (
    DTYPES,
    IDS,
    METADATA,
    OPTIONS,
    TEXTS,
    append,
    as_format_1,
    as_format_2,
    facts_of,
    file_of,
    names,
    save,
    vectors_of,
)


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_what_was_saved(tmp_path: Path, precision: str, rows: int, mapped: bool) -> None:
    save(tmp_path / "index", TEXTS[:rows], precision=precision)
    saved = open_index(tmp_path / "index", mmap=mapped)
    assert list(saved.texts) == saved.texts[:] == TEXTS[:rows]
    assert saved.vectors.dtype == DTYPES[precision]
    assert np.array_equal(saved.vectors, vectors_of(rows, DTYPES[precision]))
    assert not saved.vectors.flags.writeable
    assert saved.vectors.flags.aligned
    assert (saved.space_id, saved.options) == ("space", index_options(None, precision))


def test_the_files_are_what_the_docs_say(folder: Path) -> None:
    facts = facts_of(folder)
    kinds = ["vectors", "texts", "ids", "metadata"]
    assert list(facts) == ["format", "space_id", "options", "prompt", "rows", *kinds]
    assert (facts["format"], facts["prompt"], facts["rows"]) == (3, "p: ", len(TEXTS))
    assert facts["ids"] is facts["metadata"] is None
    for kind in ("vectors", "texts"):
        assert facts[kind]["bytes"] == file_of(folder, kind).stat().st_size
    mapped = np.load(file_of(folder, "vectors"), mmap_mode="r")
    assert np.array_equal(mapped, vectors_of(len(TEXTS)))
    lines = file_of(folder, "texts").read_text("ascii").splitlines()
    assert [json.loads(line) for line in lines] == TEXTS
    data = [facts["texts"]["file"], facts["vectors"]["file"]]
    assert names(folder) == [".lock", "index.json", *data]


@pytest.mark.parametrize("mapped", [True, False])
def test_ids_and_metadata(tmp_path: Path, mapped: bool) -> None:
    folder = tmp_path / "index"
    save(folder, labelled=True)
    saved = open_index(folder, mmap=mapped)
    assert saved.ids is not None
    assert saved.metadata is not None
    assert (list(saved.ids), list(saved.metadata)) == (IDS, METADATA)
    for kind, values in (("ids", IDS), ("metadata", METADATA)):
        lines = file_of(folder, kind).read_text("ascii").splitlines()
        assert [json.loads(line) for line in lines] == values
    assert len(names(folder)) == 6


@pytest.mark.parametrize("rows", [1, 70_000])
def test_the_first_id_comes_late(tmp_path: Path, rows: int) -> None:
    vectors = np.zeros((rows, 6), np.float32)
    with new_index(tmp_path, "space", OPTIONS, vectors) as writer:
        writer.append(["a"] * rows, vectors)
        writer.append(["b", "c"], vectors_of(2), ["id", None])
        writer.append(["d"], vectors_of(1))
    saved = open_index(tmp_path)
    assert saved.ids is not None
    assert list(saved.ids) == [None] * rows + ["id", None, None]
    assert saved.metadata is None


def test_rows_behind_the_stated_ones_do_not_count(folder: Path) -> None:
    """So that rows can be appended, and are there once index.json says so."""
    with file_of(folder, "texts").open("ab") as file:
        file.write(b'"more"\n{"unfini')
    path = file_of(folder, "vectors")
    np.save(path, vectors_of(len(TEXTS) + 1))
    with path.open("ab") as file:
        file.write(b"part")
    for mapped in (True, False):
        saved = open_index(folder, mmap=mapped)
        assert list(saved.texts) == TEXTS
        assert np.array_equal(saved.vectors, vectors_of(len(TEXTS)))


@pytest.mark.parametrize("older", [as_format_1, as_format_2])
def test_older_formats(folder: Path, older: Callable[[Path], Path]) -> None:
    saved = open_index(older(folder))
    assert list(saved.texts) == TEXTS
    assert np.array_equal(saved.vectors, vectors_of(len(TEXTS)))
    assert (saved.prompt, saved.ids, saved.metadata) == (None, None, None)
    append(folder, ["new"], ["id"], first=30)
    saved = open_index(folder)
    assert list(saved.texts) == [*TEXTS, "new"]
    assert list(saved.ids or ()) == [None] * len(TEXTS) + ["id"]
    assert np.array_equal(saved.vectors, vectors_of(len(TEXTS) + 1))
    assert facts_of(folder)["format"] == 3
    assert len(names(folder)) == 5


def test_format_1(folder: Path) -> None:
    saved = open_index(as_format_1(folder))
    assert list(saved.texts) == TEXTS
    assert np.array_equal(saved.vectors, vectors_of(len(TEXTS)))
    np.save(folder / "vectors.npy", vectors_of(len(TEXTS) + 1))
    with pytest.raises(SavedIndexError, match="has 6 rows, expected 5"):
        open_index(folder)
    save(folder, ["new"])
    assert list(open_index(folder).texts) == ["new"]
    assert not {"vectors.npy", "texts.jsonl"} & set(names(folder))
    assert facts_of(folder)["format"] == 3
