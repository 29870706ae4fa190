"""An index: add, search, save, load, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from bge_micro.search import Hit, Index, SavedIndexError
from bge_micro.search.space import OFFICIAL_WEIGHTS, check_space

TEXTS = ["a cat", "a kitten", "a bond\n", "the stock market", "ein \ud800 Hund", ""]


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return SentenceTransformer()


@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
def test_search_save_load(model: SentenceTransformer, tmp_path: Path, precision: str) -> None:
    index = Index(model, precision=precision, truncate_dim=256)
    assert index.search("anything") == []
    index.add(TEXTS[:2])
    index.add(TEXTS[2:])
    assert len(index) == 6
    hits = index.search("a cat", 2)
    assert [type(hit) for hit in hits] == [Hit, Hit]
    assert (hits[0].row, hits[0].text) == (0, "a cat")
    assert hits[0].score == pytest.approx(1, abs=1e-6)
    assert index.search(["a cat", "finance"], 2)[0] == hits
    index.save(tmp_path / "index")
    loaded = Index.load(tmp_path / "index", model)
    assert list(loaded.texts) == TEXTS
    assert loaded.texts[-1] == ""
    assert loaded.texts[1:3] == TEXTS[1:3]
    assert loaded.vectors.tobytes() == index.vectors.tobytes()
    assert loaded.search("finance") == index.search("finance")
    loaded.add(["one more"])
    assert len(loaded) == 7
    loaded.save(tmp_path / "index")
    assert len(Index.load(tmp_path / "index", model)) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_an_empty_index(model: SentenceTransformer, tmp_path: Path) -> None:
    Index(model).save(tmp_path / "index")
    loaded = Index.load(tmp_path / "index", model)
    assert len(loaded) == 0
    assert loaded.search("a") == []


def test_another_model_is_refused(model: SentenceTransformer, tmp_path: Path) -> None:
    index = Index(model)
    index.add(TEXTS)
    index.save(tmp_path / "index")
    with pytest.raises(ValueError, match="not of this model: compute is int8 there and float32"):
        Index.load(tmp_path / "index", SentenceTransformer(compute_type="float32"))


def test_vectors_of_the_model_that_was_bundled_before(model: SentenceTransformer) -> None:
    ours = model.space_id
    theirs = f"weights={OFFICIAL_WEIGHTS};{ours.partition(';')[2]}"
    with pytest.raises(ValueError, match=r"old: .*before 0\.1\.0.*anew; or load the export"):
        check_space("old", theirs, ours)
    check_space("old", theirs, theirs)
    with pytest.raises(ValueError, match="not of this model: compute is int8 there and float32"):
        check_space("old", theirs, theirs.replace("int8", "float32", 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"truncate_dim": 256}, "dimensions is 384 there and 256 here"),
        ({"precision": "int8", "normalize_embeddings": False}, r"begins with .* header of \|i1"),
    ],
)
def test_options_that_are_not_those_of_the_vectors(
    model: SentenceTransformer, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    Index(model).save(tmp_path)
    change_facts(tmp_path, lambda facts: facts["options"].update(options))
    with pytest.raises(ValueError, match=f"(?s){re.escape(str(tmp_path))}.*{message}"):
        Index.load(tmp_path, model)


def test_vectors_with_other_columns(model: SentenceTransformer, tmp_path: Path) -> None:
    Index(model, truncate_dim=8).save(tmp_path)

    def change(facts: dict[str, Any]) -> None:
        facts["options"]["truncate_dim"] = 16
        facts["space_id"] = Index(model, truncate_dim=16).space_id

    change_facts(tmp_path, change)
    with pytest.raises(SavedIndexError, match="the vectors have 8 columns, expected 16"):
        Index.load(tmp_path, model)


def change_facts(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    facts = json.loads((folder / "index.json").read_text())
    change(facts)
    (folder / "index.json").write_text(json.dumps(facts))


def test_damaged_folders(model: SentenceTransformer, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with pytest.raises(FileNotFoundError):
        Index.load(folder, model)
    index = Index(model)
    index.add(TEXTS)
    index.save(folder)
    (folder / "index.json").write_text("{")
    with pytest.raises(SavedIndexError, match=r"index\.json: not valid JSON .* make it anew"):
        Index.load(folder, model)
    assert issubclass(SavedIndexError, ValueError)


def test_what_is_no_index_is_not_replaced(model: SentenceTransformer, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    with pytest.raises(FileExistsError, match="exists and is no index"):
        Index(model).save(tmp_path / "precious")
    (tmp_path / "empty").mkdir()
    Index(model).save(tmp_path / "empty")
    assert (tmp_path / "precious" / "file").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "precious"]


def test_rows_cannot_get_out_of_step(model: SentenceTransformer) -> None:
    index = Index(model)
    with pytest.raises(ValueError, match="2 texts gave 1 vectors"):
        index.add(["a", None], errors="skip")  # type: ignore[list-item]
    assert len(index) == len(index.vectors) == 0
    assert np.array_equal(index.vectors.shape, (0, 384))
    index.add(["a", "b"], errors="skip")
    assert len(index) == len(index.vectors) == 2


def test_errors_are_the_models_setting_too() -> None:
    index = Index(SentenceTransformer(errors="replace"))
    index.add(["a", None])  # type: ignore[list-item]
    assert list(index.texts) == ["a", ""]


def test_what_encode_takes_an_index_takes(model: SentenceTransformer, tmp_path: Path) -> None:
    index = Index(model)
    index.add("hello")
    index.add(["a", None, b"x", 5], errors="replace")  # type: ignore[list-item]
    assert list(index.texts) == ["hello", "a", "", "", ""]
    assert np.array_equal(
        index.vectors, model.encode(["hello", "a", "", "", ""], normalize_embeddings=True)
    )
    with pytest.raises(TypeError, match="row 1 is int 5"):
        index.add(["a", 5])  # type: ignore[list-item]
    index.save(tmp_path / "index")
    assert [hit.text for hit in Index.load(tmp_path / "index", model).search("hello", 1)] == [
        "hello"
    ]
