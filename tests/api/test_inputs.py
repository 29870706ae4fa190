"""Rows that are not strings, strings that are not Unicode, inputs that are not lists."""

from __future__ import annotations

import collections
import copy
import types
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bge_micro import SentenceTransformer
from bge_micro.pipeline import Pipeline
from properties import examples

NAN = float("nan")


class Unprintable:
    """An object whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Frame:
    """The part of a pandas DataFrame that encode sees: iterating gives the names of columns."""

    ndim = 2

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Any:
        return iter(["id", "text"])


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if anything is tokenized or encoded."""

    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("work began before the inputs were checked")

    monkeypatch.setattr(Pipeline, "run", refuse)


@pytest.mark.parametrize(
    ("row", "error", "found"),
    [
        (None, ValueError, "None"),
        (NAN, ValueError, "NaN"),
        (np.float64(NAN), ValueError, "NaN"),
        (type("NAType", (), {"__repr__": lambda self: "<NA>"})(), ValueError, "<NA>"),
        (3, TypeError, "int 3"),
        (2.5, TypeError, "float 2.5"),
        (True, TypeError, "bool True"),
        (b"bytes", TypeError, "bytes b'bytes'"),
        (["a", "list"], TypeError, r"list \['a', 'list'\]"),
        ({"text": "a"}, TypeError, r"dict \{'text': 'a'\}"),
        (object(), TypeError, "object <object"),
        (Unprintable(), TypeError, "Unprintable"),
        (b"x" * 1000, TypeError, r"bytes b'x+\.\.\."),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.usefixtures("no_work")
def test_the_bad_row_is_named(
    model: SentenceTransformer, row: Any, error: type[Exception], found: str
) -> None:
    rows: list[Any] = ["text"] * 30
    rows[17] = row
    for output in ("sentence_embedding", "token_embeddings"):
        with pytest.raises(error, match=f"1 of 30 .*row 17 is {found}.*[Ee]xpected str") as caught:
            model.encode(rows, output_value=output)
        assert "errors='replace'" in str(caught.value)
        assert len(str(caught.value)) < 400
    with pytest.raises(error, match="row 17"):
        model.encode(np.array(rows, object))


@pytest.mark.usefixtures("no_work")
def test_the_first_ten_of_many_are_named(model: SentenceTransformer) -> None:
    rows: list[Any] = ["text", None] * 1000
    with pytest.raises(ValueError, match=r"1000 of 2000.*row 19 is None and 990 more") as caught:
        model.encode(rows)
    assert str(caught.value).count("is None") == 10
    rows[1999] = 5
    with pytest.raises(TypeError, match="1000 of 2000"):  # a mixture, not a gap in the data
        model.encode(rows)


def test_bad_rows_count_as_empty_or_not_at_all(model: SentenceTransformer) -> None:
    rows: list[Any] = ["a text", None, 7, "", "another"]
    replaced = model.encode(rows, errors="replace")
    assert replaced.tobytes() == model.encode(["a text", "", "", "", "another"]).tobytes()
    skipped = model.encode(rows, errors="skip")
    assert skipped.tobytes() == model.encode(["a text", "", "another"]).tobytes()
    assert model.encode([None], errors="skip").shape == (0, 384)
    lenient = copy.copy(model)
    lenient.errors = "replace"
    assert lenient.encode(rows).tobytes() == replaced.tobytes()
    assert lenient.count_tokens(rows).used.tolist() == [4, 2, 2, 2, 3]
    assert len(lenient.tokenize(rows)["input_ids"]) == 5
    with pytest.raises(TypeError):
        lenient.encode(rows, errors="strict")


@pytest.mark.parametrize("method", ["count_tokens", "tokenize"])
def test_other_methods_check_too(model: SentenceTransformer, method: str) -> None:
    with pytest.raises(ValueError, match="row 1 is None"):
        getattr(model, method)(["a", None])
    with pytest.raises(TypeError, match="bytes"):
        getattr(model, method)(b"a")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, "NoneType"),
        (5, "int"),
        (NAN, "float"),
        (b"bytes", r"bytes.*decode\('utf-8'\)"),
        (bytearray(b"bytes"), r"bytearray.*decode\('utf-8'\)"),
        (memoryview(b"bytes"), "memoryview"),
        ({"text": 1}, "dict"),
        (collections.UserDict(text=1), "UserDict"),
        (types.MappingProxyType({"text": 1}), "mappingproxy"),
        ({"a", "b"}, "set"),
        (frozenset("ab"), "frozenset"),
        (iter(["a"]), "list_iterator.*encode_iter"),
        ((text for text in "ab"), "generator.*encode_iter"),
        (map(str, [1]), "map.*encode_iter"),
    ],
)
@pytest.mark.usefixtures("no_work")
def test_inputs_that_are_no_list(model: SentenceTransformer, inputs: Any, message: str) -> None:
    for errors in ("strict", "replace"):
        with pytest.raises(TypeError, match=message):
            model.encode(inputs, errors=errors)


@pytest.mark.parametrize(
    "inputs",
    [np.array([["a", "b"]]), np.empty((0, 2), "U1"), Frame()],
    ids=["2-d", "empty 2-d", "frame"],
)
@pytest.mark.usefixtures("no_work")
def test_tables_are_no_list_of_texts(model: SentenceTransformer, inputs: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="2 dimensions"):
        model.encode(inputs)


def test_surrogates_count_as_replacement_characters(model: SentenceTransformer) -> None:
    broken = ["\ud800", "a \udfff b", "\udc80bc", "x\ud83d", "\ud83d\ude00", "fine"]
    mended = ["\ufffd", "a \ufffd b", "\ufffdbc", "x\ufffd", "\ufffd\ufffd", "fine"]
    expected = model.encode(mended)
    assert model.encode(broken).tobytes() == expected.tobytes()
    alone = [model.encode(text).tobytes() for text in broken]
    assert alone == [row.tobytes() for row in expected]
    assert (model.tokenize(broken)["input_ids"] == model.tokenize(mended)["input_ids"]).all()


@pytest.mark.parametrize("text", ["", " ", " \t\r\n\u2003", "\0", "\0a\0", "\x0b\x7f", "\ufeff"])
def test_texts_of_nothing(model: SentenceTransformer, text: str) -> None:
    for options in ({}, {"normalize_embeddings": True}, {"precision": "int8"}):
        vector = model.encode(text, **options)
        assert np.isfinite(vector).all()
        assert vector.any()
    nothing = "a" if "a" in text else ""  # control characters are dropped
    assert model.encode(text).tobytes() == model.encode(nothing).tobytes()


@pytest.mark.parametrize("compute_type", ["int8", "float32"])
def test_any_strings_at_all(tiny_folder: Any, compute_type: str) -> None:
    tiny = SentenceTransformer(tiny_folder, compute_type=compute_type, threads=2)
    letters = st.sampled_from([*"abcdefgh .,", "\ud800", "\0", "水", "é", "[SEP]"])

    @examples(60, database=None)
    @given(st.lists(st.text(st.characters()) | st.lists(letters).map("".join), max_size=6))
    def check(texts: list[str]) -> None:
        vectors = tiny.encode(texts)
        assert vectors.shape == (len(texts), 64)
        assert np.isfinite(vectors).all()
        assert [tiny.encode(text).tobytes() for text in texts] == [row.tobytes() for row in vectors]

    check()
