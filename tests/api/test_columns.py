"""Columns of Arrow and Polars as input, fixed-size lists as output, with the real packages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bge_micro import SentenceTransformer, columns
from bge_micro.arrow import to_arrow
from bge_micro.batches import batches_of

pa = pytest.importorskip("pyarrow", reason="pip install '.[test]'")
pl = pytest.importorskip("polars", reason="pip install '.[test]'")

TEXTS = ["one", "", "drei", "Вот", "圖書館", "six and more words"] * 5
KINDS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]


def arrow_columns(texts: list[str | None]) -> list[Any]:
    columns = [pa.array(texts, pa.string()).cast(kind) for kind in KINDS]
    return [*columns, columns[0].slice(0), pa.chunked_array([columns[0][:7], columns[0][7:]])]


def polars_columns(texts: list[str | None]) -> list[Any]:
    return [pl.Series(texts), pl.Series(texts).cast(pl.Categorical), pl.concat([pl.Series(texts)])]


@pytest.mark.parametrize("batch", [3, 1024])
def test_strings_of_columns(
    model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(columns, "_BATCH_ROWS", batch)
    expected = model.encode(TEXTS).tobytes()
    for column in arrow_columns(TEXTS) + polars_columns(TEXTS):
        vectors = model.encode(column)
        assert vectors.shape == (len(TEXTS), 384)
        assert vectors.tobytes() == expected
    table = pa.table({"text": TEXTS})
    assert model.encode(table["text"]).tobytes() == expected
    assert (
        model.count_tokens(pl.Series(TEXTS)).used.tolist()
        == model.count_tokens(TEXTS).used.tolist()
    )
    assert len(model.encode(pa.array(TEXTS), output_value="token_embeddings")) == len(TEXTS)


def test_few_strings_are_alive_at_once() -> None:
    """The column is not converted to a list: one batch after the other is read."""
    asked: list[int] = []

    class Spy(columns._ArrowColumn):
        def _strings(self, start: int, count: int) -> list[str]:
            asked.append(count)
            return super()._strings(start, count)

    rows = Spy(pa.array(["some words of a text"] * 5000), [])
    assert sum(map(len, batches_of(rows))) == 5000
    assert max(asked) == 1024


def test_missing_rows_are_named(model: SentenceTransformer) -> None:
    texts: list[str | None] = ["a", None, "c", None]
    for column in arrow_columns(texts) + polars_columns(texts):
        with pytest.raises(ValueError, match="2 of 4 inputs are not strings: row 1 is None, row 3"):
            model.encode(column)
        replaced = model.encode(column, errors="replace")
        assert replaced.tobytes() == model.encode(["a", "", "c", ""]).tobytes()
        skipped = model.encode(column, errors="skip")
        assert skipped.tobytes() == model.encode(["a", "c"]).tobytes()
    for nothing in (pa.nulls(2), pl.Series([None, None])):
        with pytest.raises(ValueError, match="2 of 2 inputs are not strings"):
            model.encode(nothing)
        assert model.encode(nothing, errors="skip").shape == (0, 384)
        assert model.encode(nothing, errors="replace").shape == (2, 384)


def test_other_columns_are_refused(model: SentenceTransformer) -> None:
    for column in (pa.array([1, 2]), pa.array([b"a"]), pa.array([["a"]])):
        with pytest.raises(TypeError, match=r"inputs is an Arrow column of .*, expected"):
            model.encode(column)
    with pytest.raises(TypeError, match="inputs is a Polars column of Int64, expected strings"):
        model.encode(pl.Series([1, 2]))


def test_empty_columns(model: SentenceTransformer) -> None:
    for column in (
        pa.array([], pa.string()),
        pa.chunked_array([], pa.string()),
        pl.Series([""])[:0],
    ):
        assert model.encode(column).shape == (0, 384)


@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary"])
def test_fixed_size_lists(model: SentenceTransformer, precision: str) -> None:
    vectors = model.encode(TEXTS, precision=precision)
    column = to_arrow(vectors)
    assert column.type == pa.list_(pa.from_numpy_dtype(vectors.dtype), vectors.shape[1])
    assert column.null_count == 0
    values = column.values.to_numpy()
    assert np.shares_memory(values, vectors)
    assert values.tobytes() == vectors.tobytes()
    series = pl.Series(column)
    assert series.dtype == pl.Array
    assert series.to_numpy().tobytes() == vectors.tobytes()
    with pytest.raises(ValueError, match="vectors have 1 dimensions, expected 2"):
        to_arrow(vectors[0])


def dictionary_columns() -> list[Any]:
    """Return columns of "a", a null index, a null value, "b"."""
    column = pa.DictionaryArray.from_arrays(pa.array([0, None, 1, 2]), pa.array(["a", None, "b"]))
    return [column, pa.chunked_array([column])]


@pytest.mark.parametrize("column", dictionary_columns(), ids=["array", "chunked"])
def test_nulls_among_the_values_of_a_dictionary(model: SentenceTransformer, column: Any) -> None:
    calls: list[Any] = [
        model.encode,
        model.encode_query,
        model.count_tokens,
        model.tokenize,
        lambda texts: list(model.encode_iter(texts.to_pylist())),
        lambda texts: model.run(texts, model.plan()),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="row 1 is None, row 2 is None"):
            call(column)
    for errors, texts in (("replace", ["a", "", "", "b"]), ("skip", ["a", "b"])):
        found = model.encode(column, errors=errors)
        assert found.tobytes() == model.encode(texts).tobytes()
    whole = column.slice(0, 1)
    assert model.encode(whole).tobytes() == model.encode(["a"]).tobytes()
