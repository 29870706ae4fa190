"""Ids, metadata, removal and filters of an index: as an index made of the same rows at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from bge_micro.search import Hit, Index, SavedIndexError
from bge_micro.search import selection as selection_module

from .saved_folder import file_of, names

PRECISIONS = ["float32", "int8", "uint8", "binary", "ubinary"]
TEXTS = ["a cat", "a kitten", "a bond", "the stock market", "a dog", "a cat", "", "rain"]
IDS = ["cat", "kitten", None, "market", "dog", "cat 2", "\ud800", ""]
METADATA = [{"page": row, "tags": ["é", None]} for row in range(len(TEXTS))]


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return SentenceTransformer(prompts={"query": "q: ", "document": "d: ", "other": "o: "})


def index_of(model: SentenceTransformer, rows: list[int], precision: Any = "float32") -> Index:
    index = Index(model, precision=precision)
    index.add(
        [TEXTS[row] for row in rows],
        ids=[IDS[row] for row in rows],
        metadata=[METADATA[row] for row in rows],
    )
    return index


def assert_same(index: Index, expected: Index) -> None:
    """See that two indexes hold the same rows, and find the same."""
    assert list(index.texts) == list(expected.texts)
    assert list(index.ids) == list(expected.ids)
    assert list(index.metadata) == list(expected.metadata)
    for k in (1, 3, 20):
        assert index.search(["a cat", "finance"], k) == expected.search(["a cat", "finance"], k)
    assert index.vectors.tobytes() == expected.vectors.tobytes()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_whatever_way_the_rows_came(
    model: SentenceTransformer, tmp_path: Path, precision: str
) -> None:
    every = list(range(len(TEXTS)))
    fresh = index_of(model, every, precision)
    index = index_of(model, every[:3], precision)
    index.save(tmp_path / "index")
    files = names(tmp_path / "index")
    index = Index.load(tmp_path / "index", model)
    index.add(TEXTS[3], ids=IDS[3], metadata=METADATA[3])
    index.add(TEXTS[4:6], ids=IDS[4:6], metadata=METADATA[4:6])
    assert_same(index, index_of(model, every[:6], precision))
    index.save(tmp_path / "index")
    index.add(TEXTS[6:], ids=IDS[6:], metadata=METADATA[6:])
    assert_same(index, fresh)
    index.save(tmp_path / "index")
    assert names(tmp_path / "index") == files, "rows were appended"
    assert_same(Index.load(tmp_path / "index", model), fresh)
    fresh.save(tmp_path / "fresh")
    for kind in ("vectors", "texts", "ids", "metadata"):
        assert (
            file_of(tmp_path / "index", kind).read_bytes()
            == file_of(tmp_path / "fresh", kind).read_bytes()
        )


@pytest.mark.parametrize("saved", [True, False])
def test_remove(model: SentenceTransformer, tmp_path: Path, saved: bool) -> None:
    index = index_of(model, list(range(len(TEXTS))))
    if saved:
        index.save(tmp_path / "index")
        index = Index.load(tmp_path / "index", model)
    index.remove("cat")
    index.remove({"dog", "\ud800"})
    index.remove([])
    rest = index_of(model, [1, 2, 3, 5, 7])
    assert_same(index, rest)
    index.add("a cat", ids="cat", metadata=0)
    (hit,) = index.search("a cat", 1)
    assert hit == Hit(3, hit.score, "a cat", "cat 2", METADATA[5])
    index.remove(["cat"])
    index.save(tmp_path / "index")
    assert_same(Index.load(tmp_path / "index", model), rest)
    assert len(names(tmp_path / "index")) == 6


@pytest.mark.parametrize("names", ["nobody", ["cat", "nobody"], ["nobody"] * 3])
def test_remove_what_is_not_there(model: SentenceTransformer, names: Any) -> None:
    index = index_of(model, [0, 1])
    with pytest.raises(ValueError, match=r"1 of \d ids are not there: 'nobody'"):
        index.remove(names)
    assert len(index) == 2


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("most", [1, 3, 1 << 16])
def test_filters(model: SentenceTransformer, monkeypatch: Any, precision: str, most: int) -> None:
    monkeypatch.setattr(selection_module, "_MOST_ROWS", most)
    every = list(range(len(TEXTS)))
    index = index_of(model, every[:5], precision)
    index.add(TEXTS[5:], ids=IDS[5:], metadata=METADATA[5:])
    queries = ["a cat", "finance"]
    for rows in (every, [0, 5], [1, 3, 4, 7], [6], []):
        among = index_of(model, rows, precision)
        expected = [
            [hit._replace(row=rows[hit.row]) for hit in hits] for hits in among.search(queries, 4)
        ]
        by_metadata = index.search(queries, 4, filter=lambda value, of=rows: value["page"] in of)
        assert by_metadata == expected
        chosen = {IDS[row] for row in rows} | {"unknown"}
        if None not in chosen:
            assert index.search(queries, 4, filter=chosen) == expected
            assert index.search(queries[0], 4, filter=list(chosen)) == expected[0]


def test_a_filter_sees_none_where_no_metadata_is(model: SentenceTransformer) -> None:
    index = Index(model)
    index.add(["a", "b"])
    index.add("c", metadata={"x": 1})
    assert [hit.text for hit in index.search("a", filter=lambda value: value is not None)] == ["c"]


@pytest.mark.parametrize("chosen", ["cat", b"cat", 5, 1.5])
def test_what_is_no_filter(model: SentenceTransformer, chosen: Any) -> None:
    with pytest.raises(TypeError, match=r"filter is a .*, expected a function"):
        index_of(model, [0]).search("a", filter=chosen)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ids": ["cat", "new"]}, ValueError, "row 0 has the id 'cat', which row 0 of the index"),
        ({"ids": ["new", "new"]}, ValueError, "row 1 has the id 'new', which another of these"),
        ({"ids": ["new"]}, ValueError, "ids has 1 rows and there are 2 texts"),
        ({"ids": "ab"}, TypeError, "ids is a str, expected a list"),
        ({"ids": ["new", 5]}, TypeError, "ids: row 1 is int 5, expected a string"),
        ({"metadata": [1]}, ValueError, "metadata has 1 rows and there are 2 texts"),
        ({"metadata": {"a": 1, "b": 2}}, TypeError, "metadata is a dict, expected a list"),
        ({"metadata": [1, {1, 2}]}, TypeError, "metadata: row 1 cannot be JSON: .*set"),
        ({"metadata": [float("nan"), 1]}, ValueError, "metadata: row 0 cannot be JSON"),
        ({"metadata": [{(1, 2): 3}, 1]}, TypeError, "metadata: row 0 cannot be JSON"),
        ({"prompt": "x: "}, ValueError, "the prompt is 'x: ', and the texts .* have 'd: '"),
        ({"prompt_name": "other"}, ValueError, "the prompt is 'o: ', and"),
    ],
)
def test_refused_and_nothing_added(
    model: SentenceTransformer, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    index = index_of(model, [0])
    with pytest.raises(error, match=message):
        index.add(["x", "y"], **options)
    assert len(index) == len(index.ids) == len(index.metadata) == len(index.vectors) == 1


def test_metadata_are_copied_as_json_gives_them_back(
    model: SentenceTransformer, tmp_path: Path
) -> None:
    given: dict[Any, Any] = {1: (1, 2), "big": 10**30, "float": 0.1}
    index = Index(model)
    index.add("a", metadata=given)
    given["more"] = 1
    expected = {"1": [1, 2], "big": 10**30, "float": 0.1}
    assert index.metadata[0] == expected
    index.save(tmp_path / "index")
    assert Index.load(tmp_path / "index", model).metadata[0] == expected


@pytest.mark.parametrize(
    "use",
    [
        lambda index: index.remove("cat"),
        lambda index: index.search("a", filter={"cat"}),
        lambda index: index.add("new", ids="new"),
    ],
)
def test_equal_ids_in_a_file(
    model: SentenceTransformer, tmp_path: Path, use: Callable[[Index], Any]
) -> None:
    index_of(model, [0, 1, 5]).save(tmp_path / "index")
    path = file_of(tmp_path / "index", "ids")
    path.write_bytes(path.read_bytes().replace(b'"cat 2"', b'"cat"  '))
    loaded = Index.load(tmp_path / "index", model)
    assert len(loaded.search("a cat")) == 3
    for _ in range(2):
        with pytest.raises(SavedIndexError, match=r"rows 0 and 2 have the same id 'cat'.*anew"):
            use(loaded)


def test_an_index_remembers_its_prompt(model: SentenceTransformer, tmp_path: Path) -> None:
    index = Index(model)
    assert index.prompt is None
    index.add("a", prompt="x: ")
    index.save(tmp_path / "index")
    loaded = Index.load(tmp_path / "index", model)
    assert loaded.prompt == "x: "
    loaded.add("b")
    expected = model.encode(["a", "b"], prompt="x: ", normalize_embeddings=True)
    assert np.array_equal(loaded.vectors, expected)
    assert index_of(model, [0]).prompt == "d: "


def test_two_who_add_to_the_same_folder(model: SentenceTransformer, tmp_path: Path) -> None:
    """The one who saves last has read an older index, and replaces the other's."""
    index_of(model, [0]).save(tmp_path / "index")
    first, second = (Index.load(tmp_path / "index", model) for _ in range(2))
    first.add("of the first")
    second.add("of the second")
    first.save(tmp_path / "index")
    second.save(tmp_path / "index")
    found = Index.load(tmp_path / "index", model)
    assert list(found.texts) == ["a cat", "of the second"]
