"""`bge-micro info --compare`: vectors of a file beside those that a model gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bge_micro import SentenceTransformer

from .conftest import Run

TEXTS = ["a cat", "ein Hund \ud83d", "two\nlines", "日本語 " * 50]


def rows_of(texts: list[str], vectors: np.ndarray, text_field: str = "text") -> bytes:
    """Return JSON lines of texts and their vectors."""
    rows = zip(texts, vectors.tolist(), strict=True)
    lines = (json.dumps({text_field: text, "embedding": vector}) for text, vector in rows)
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def test_own_vectors_have_cosine_one(run: Run) -> None:
    given = [text for text in TEXTS if text.isprintable()]
    written = run("embed", "--with-text", *given).out
    result = run("info", "--compare", "-", stdin=written.encode())
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["rows", str(len(given))],
        ["mean", "cosine", "1.000000"],
        ["worst", "cosine", "1.000000"],
    ]
    assert len(lines) == 4 + len(given)


def test_what_differs_most_comes_first(run: Run, model: SentenceTransformer) -> None:
    vectors = model.encode(TEXTS).astype(np.float64)
    other = np.roll(vectors[2], 1)  # another direction
    expected = float(vectors[2] @ other / np.linalg.norm(vectors[2]) / np.linalg.norm(other))
    vectors[2] = other
    data = b"\xef\xbb\xbf" + rows_of(TEXTS, 7 * vectors).replace(b"\n", b"\n\n", 1)
    result = run("info", "--compare", "-", "--json", stdin=data)
    report = json.loads(result.out)
    assert (result.code, report["rows"]) == (0, 4)
    first = report["differ_most"][0]
    assert (first["line"], first["text"]) == (4, TEXTS[2])  # after a blank line
    assert first["cosine"] == report["worst_cosine"] == pytest.approx(expected, abs=1e-12)
    assert report["mean_cosine"] == pytest.approx((3 + expected) / 4, abs=1e-9)
    assert report["space_id"] == model.space_id
    shown = run("info", "--compare", "-", stdin=data).out.splitlines()[4]
    assert shown.split() == ["line", "4", f"{expected:.6f}", "two", "lines"]  # in one line


def test_five_rows_are_named_of_more_than_a_block(run: Run, model: SentenceTransformer) -> None:
    texts = [f"text {number}" for number in range(600)]
    vectors = model.encode(texts)
    for row in (599, 3, 300):
        vectors[row] *= -1
    result = run("info", "--compare", "-", "--json", stdin=rows_of(texts, vectors))
    report = json.loads(result.out)
    assert report["rows"] == 600
    assert {row["line"] for row in report["differ_most"][:3]} == {600, 4, 301}
    assert len(report["differ_most"]) == 5
    assert report["mean_cosine"] == pytest.approx((600 - 6) / 600)


def test_prompt_compute_type_and_field_are_used(run: Run, tmp_path: Path) -> None:
    model = SentenceTransformer(compute_type="float32")
    vectors = model.encode(TEXTS, prompt="say: ")
    (tmp_path / "rows.jsonl").write_bytes(rows_of(TEXTS, vectors, "body"))
    options = ("--field", "body", "--prompt", "say: ", "--compute-type", "float32", "--json")
    report = json.loads(run("info", "--compare", "rows.jsonl", *options).out)
    assert report["worst_cosine"] == pytest.approx(1, abs=1e-12)
    without = json.loads(run("info", "--compare", "rows.jsonl", "--field", "body", "--json").out)
    assert without["worst_cosine"] < 0.999


def row(**values: object) -> bytes:
    """Return a line with a good text and vector, but for the given values."""
    return json.dumps({"text": "a", "embedding": [1.0] * 384, **values}).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no rows to compare"),
        (b"{", "line 1: Expecting property name"),
        (row() + b"\n[1]", "line 2: holds '[1]', expected an object with 'text' and 'embedding'"),
        (b'{"body": "a"}', "has no 'text' (it holds 'body'); name the key of the texts by --field"),
        (b'{"text": "a"}', "has no 'embedding' (it holds 'text')"),
        (row(text=None), "'text' is None, expected a string"),
        (row(embedding="AAAA"), "'embedding' is 'AAAA', expected a list of numbers"),
        (row(embedding=[True] * 384), "expected a list of numbers"),
        (row(embedding=[1.0] * 3), "the vector has 3 numbers, expected 384"),
        (row(embedding=[0] * 384), "only zeros"),
        (row(embedding=[float("nan")] * 384), "NaN"),
        (row(embedding=[1e300] * 384), "infinity"),
        (row(embedding=[10**400] * 384), "infinity"),
        (b'{"text": "\xff"}', "line 1: 'utf-8' codec can't decode"),
        (b"[" * 100_000, "line 1: "),
    ],
)
def test_a_bad_line_is_named(run: Run, data: bytes, message: str) -> None:
    result = run("info", "--compare", "-", stdin=data)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("bge-micro: error: standard input: ")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("option", ["--field", "--prompt", "--prompt-name", "--compute-type"])
def test_options_of_comparing_need_a_file(run: Run, option: str) -> None:
    result = run("info", option, "int8")
    assert (result.code, result.out) == (2, "")
    assert f"{option} needs --compare FILE" in result.err


def test_a_missing_file_is_named(run: Run) -> None:
    result = run("info", "--compare", "absent.jsonl")
    assert (result.code, result.out) == (1, "")
    assert "absent.jsonl: No such file or directory" in result.err
