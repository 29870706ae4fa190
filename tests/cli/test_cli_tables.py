"""Texts from columns of CSV, TSV and Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from bge_micro.cli import csv_records

from .conftest import Result, Run

TEXTS = ["one", "two, words", 'a "quote"', "line\nbreak", "", "Вот"]


def embedded(result: Result) -> list[tuple[int, bytes]]:
    """Return the index and the vector of each row."""
    assert result.code == 0, result.err
    rows = [json.loads(line) for line in result.out.splitlines()]
    return [(row["index"], np.array(row["embedding"], np.float32).tobytes()) for row in rows]


def expected(model: SentenceTransformer, texts: list[str]) -> list[tuple[int, bytes]]:
    return [(index, vector.tobytes()) for index, vector in enumerate(model.encode(texts))]


def csv_of(texts: list[str], delimiter: str = ",", field: str = "text") -> str:
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    lines = [f"{number}{delimiter}{text}" for number, text in enumerate(quoted)]
    return "\n".join([f"id{delimiter}{field}", *lines, ""])


@pytest.mark.parametrize(("name", "delimiter"), [("x.csv", ","), ("x.TSV", "\t")])
def test_csv(
    run: Run, tmp_path: Path, model: SentenceTransformer, name: str, delimiter: str
) -> None:
    path = tmp_path / name
    path.write_text(csv_of(TEXTS, delimiter), encoding="utf-8-sig", newline="")
    assert embedded(run("embed", "-i", name, "--batch-size", "4")) == expected(model, TEXTS)
    path.write_text(csv_of(TEXTS, delimiter, "body"), newline="\r\n")
    found = embedded(run("embed", "-i", name, "--field", "body"))
    assert [index for index, _ in found] == list(range(len(TEXTS)))


def test_csv_from_standard_input(run: Run, model: SentenceTransformer) -> None:
    result = run("embed", "-", "--input-format", "csv", stdin=csv_of(TEXTS).encode())
    assert embedded(result) == expected(model, TEXTS)


def test_huge_field(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text\n" + "word " * 100_000 + "\n")
    assert len(embedded(run("embed", "-i", "x.csv", "--truncation", "silent"))) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.csv: the header has no 'text' (it holds nothing); name the texts' column by"),
        (b"a,b\n1,2\n", "x.csv: the header has no 'text' (it holds 'a', 'b'); name the texts'"),
        (b"a,text\n1,2\n3\n", "x.csv: row 2 has 1 fields, and 'text' is number 2"),
        (b"text\ngood\nb\xe4d\n", "x.csv: row 2 is not UTF-8: b'b\\xe4d'"),
        (b'text\n"open\n', "x.csv: row 1 (line 2) has a quotation mark that does not fit ("),
        (b'"text\n', "x.csv: the header (line 1) has a quotation mark that does not fit (unexp"),
    ],
)
def test_bad_csv(run: Run, tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x.csv").write_bytes(data)
    result = run("embed", "-i", "x.csv", "-o", "v.npy")
    assert result.code == 1
    assert result.err.startswith(f"bge-micro: error: {message}")
    assert not (tmp_path / "v.npy").exists()


def test_bad_rows_can_be_skipped(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"a,text\n1,good\n2\n3,b\xe4d\n4,fine\n")
    result = run("embed", "-i", "x.csv", "--errors", "skip")
    assert [index for index, _ in embedded(result)] == [0, 3]
    assert "x.csv: 2 bad rows were skipped." in result.err


def parquet_file(path: Path, columns: dict[str, Any]) -> None:
    arrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra bge-micro[arrow]")
    from pyarrow import parquet

    parquet.write_table(arrow.table(columns), path, row_group_size=4)


def test_parquet(run: Run, tmp_path: Path, model: SentenceTransformer) -> None:
    arrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra bge-micro[arrow]")
    kinds = [arrow.string(), arrow.large_string(), arrow.dictionary(arrow.int32(), arrow.string())]
    for kind in kinds:
        column = arrow.array(TEXTS).cast(kind)
        parquet_file(tmp_path / "x.parquet", {"n": range(len(TEXTS)), "body": column})
        result = run("embed", "-i", "x.parquet", "--field", "body", "--batch-size", "4")
        assert embedded(result) == expected(model, TEXTS)


def test_nulls_and_other_types_in_parquet(run: Run, tmp_path: Path) -> None:
    parquet_file(tmp_path / "x.parquet", {"text": ["a", None, "c"], "n": [1, 2, 3]})
    result = run("embed", "-i", "x.parquet")
    assert (result.code, result.out) == (1, "")
    assert "x.parquet: row 2 holds no text (null)" in result.err
    kept = embedded(run("embed", "-i", "x.parquet", "--errors", "skip"))
    assert [index for index, _ in kept] == [0, 2]
    result = run("embed", "-i", "x.parquet", "--field", "n")
    assert result.code == 1
    assert "column 'n': inputs is an Arrow column of int64, expected strings." in result.err
    result = run("embed", "-i", "x.parquet", "--field", "none")
    assert "the header has no 'none' (it holds 'text', 'n')" in result.err


def test_parquet_that_is_none(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs the extra bge-micro[arrow]")
    (tmp_path / "x.parquet").write_bytes(b"nothing of the kind")
    result = run("embed", "-i", "x.parquet")
    assert result.code == 1
    assert result.err.startswith("bge-micro: error: x.parquet: Parquet magic bytes not found")
    result = run("embed", "-", "--input-format", "parquet")
    assert result.code == 2
    assert "Parquet is read from a file only: give -i FILE" in result.err


def test_similarity_of_a_column(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text\na\nb\n")
    matrix = run("similarity", "-i", "x.csv").out
    assert [len(line.split("\t")) for line in io.StringIO(matrix)] == [2, 2]


# A file, the texts of its good rows by number, and what is said of the first bad one.
STRAY_QUOTES = [
    ('"never closed\nb\nc\n', {1: "b", 2: "c"}, "row 1 (line 2)"),
    ('a\n"closed" late\nc\n', {0: "a", 2: "c"}, "row 2 (line 3)"),
    ('a\n"first\nb\n"second\nd\n', {0: "a", 2: "b", 4: "d"}, "row 2 (line 3)"),
    ('"fine\nquote"\n"bad\nc\n', {0: "fine\nquote", 2: "c"}, "row 2 (line 4)"),
    ('a\nb\n"at the end', {0: "a", 1: "b"}, "row 3 (line 4)"),
    ('a 27" screen\n"27" screen\nc', {0: 'a 27" screen', 2: "c"}, "row 2 (line 3)"),
]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize(("data", "good", "named"), STRAY_QUOTES)
def test_a_quote_that_does_not_fit_spoils_its_row_only(
    run: Run,
    tmp_path: Path,
    model: SentenceTransformer,
    data: str,
    good: dict[int, str],
    named: str,
    ending: str,
) -> None:
    name = f"x.{ending}"
    (tmp_path / name).write_text("text\n" + data)
    result = run("embed", "-i", name)
    assert result.code == 1
    assert f"{name}: {named} has a quotation mark that does not fit" in result.err
    found = embedded(run("embed", "-i", name, "--errors", "skip"))
    vectors = model.encode([*good.values()])
    assert found == [(row, vector.tobytes()) for row, vector in zip(good, vectors, strict=True)]
    replaced = embedded(run("embed", "-i", name, "--errors", "replace"))
    assert len(replaced) == max(*good, int(named.split()[1]) - 1) + 1


def test_a_quote_that_is_closed_rows_later(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text('id\ttext\n1\t"open\n2\tb\n3\tc 27"\tmore\n4\td\n')
    result = run("embed", "-i", "x.tsv", "--with-text", "--errors", "skip")
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [row["text"] for row in rows] == ["b", 'c 27"', "d"]


def test_a_record_without_an_end_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_records, "_MOST_CHARACTERS", 1000)
    read = []

    def lines() -> Iterator[str]:
        yield "text\n"
        yield '"open\n'
        for number in range(100_000):
            read.append(number)
            yield "x" * 99 + "\n"

    found = csv_records.records(lines(), ",")  # type: ignore[arg-type]
    assert next(found).fields == ["text"]
    assert "no end after 1000 characters" in str(next(found).fault)
    assert len(read) < 20
