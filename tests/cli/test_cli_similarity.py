"""`bge-micro similarity`: scores of texts, as lines for programs and as a table for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from bge_micro.cli import similarity

from .conftest import Run


def test_first_against_the_others(run: Run, model: SentenceTransformer) -> None:
    texts = ["a cat", "a\tkitten\\", "ein\r\nAuto ä", "\ud800", ""]
    result = run("similarity", *texts, "--errors", "replace")
    assert result.code == 0
    rows = [line.split("\t") for line in result.out.split("\n")[:-1]]
    assert [text for _, text in rows] == ["a\\tkitten\\\\", "ein\\r\\nAuto ä", "?", ""]
    vectors = model.encode(texts)
    expected = model.similarity(vectors[:1], vectors[1:])[0]
    assert [float(score) for score, _ in rows] == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("matrix_rows", [2, 256])
def test_matrix(
    run: Run,
    model: SentenceTransformer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    matrix_rows: int,
) -> None:
    monkeypatch.setattr(similarity, "_MATRIX_ROWS", matrix_rows)
    texts = ["eins", "zwei", "", "drei", "vier"]
    (tmp_path / "in.txt").write_text("\n".join(texts) + "\n")
    result = run("similarity", "-i", "in.txt", "--batch-size", "2")
    assert (result.code, result.err) == (0, "")
    found = np.array([line.split("\t") for line in result.out.splitlines()], np.float64)
    vectors = model.encode(texts)
    assert found == pytest.approx(model.similarity(vectors, vectors), abs=1e-6)
    assert run("similarity", "-", stdin="\n".join(texts).encode()) == result


def test_no_lines(run: Run) -> None:
    assert run("similarity", "-") == run("similarity", "-", "--input-format", "jsonl")
    result = run("similarity", "-")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_table_of_scores(run: Run) -> None:
    result = run("similarity", "a", "a", "b\x1b[31m\nc", "word " * 20, columns=40)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == " 1.0000  a"
    assert lines[1].endswith("  b [31m c")
    assert lines[2].endswith("  word word word word word wor...")
    assert [len(line) for line in lines] == [10, 17, 40]


def test_table_of_a_matrix(run: Run) -> None:
    result = run("similarity", "-", stdin=b"a\nb", columns=80)
    header, first, second = result.out.splitlines()
    assert header.split() == ["1", "2"]
    assert first.split()[:2] == ["1", "1.0000"]
    assert second.split()[0] == "2"
    assert second.split()[2] == "1.0000"
    assert first.split()[2] == second.split()[1]
    assert len(header) == len(first) == len(second)


def test_bad_rows_and_long_texts(run: Run) -> None:
    result = run("similarity", "-", stdin=b"a\n\xff")
    assert (result.code, result.out) == (1, "")
    assert "standard input: line 2 is not UTF-8" in result.err
    result = run("similarity", "a", "word " * 600)
    assert "texts of more than 512 tokens: 1 (argument 2)" in result.err
    assert result.code == 0
