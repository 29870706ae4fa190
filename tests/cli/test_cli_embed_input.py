"""`bge-micro embed`: which texts are read, and what happens to bad and long ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from bge_micro.cli import texts as texts_module
from bge_micro.cli.fields import FoundRow

from .conftest import Run

LONG = "word " * 600


def embedded(run: Run, *argv: str, stdin: bytes = b"") -> list[tuple[int, str]]:
    """Run embed and return the index and text of each row."""
    result = run("embed", "--with-text", *argv, stdin=stdin)
    assert (result.code, result.err) == (0, "")
    rows = [json.loads(line) for line in result.out.splitlines()]
    return [(row["index"], row["text"]) for row in rows]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\rb\n", ["a\rb"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", ["a", "\ufeffb"]),
        ("a\u2028b\x0bc\x85\nd".encode(), ["a\u2028b\x0bc\x85", "d"]),
        (b"a\0b\n \n", ["a\0b", " "]),
        (b'"a"\n{"text": "b"}', ['"a"', '{"text": "b"}']),
    ],
)
def test_lines(run: Run, tmp_path: Path, data: bytes, expected: list[str]) -> None:
    rows = list(enumerate(expected))
    (tmp_path / "in.txt").write_bytes(data)
    assert embedded(run, "-i", "in.txt") == rows
    assert embedded(run, "-", stdin=data) == rows
    assert embedded(run, "-i", "-", stdin=data) == rows


def test_arguments(run: Run) -> None:
    assert embedded(run, "a b", "", "-5", "ä") == [(0, "a b"), (1, ""), (2, "-5"), (3, "ä")]
    assert embedded(run, "--", "--help", "-x") == [(0, "--help"), (1, "-x")]


def test_jsonl(run: Run, tmp_path: Path) -> None:
    data = b'"a"\r\n{"text": "b", "id": 7}\n\n  \n{"text": "\\ud800\xc3\xa4"}'
    expected = [(0, "a"), (1, "b"), (2, "\ud800ä")]
    for name in ("in.jsonl", "IN.NDJSON"):
        (tmp_path / name).write_bytes(data)
        assert embedded(run, "-i", name) == expected
    (tmp_path / "in.json").write_bytes(data)
    assert embedded(run, "-i", "in.json", "--input-format", "jsonl") == expected
    assert embedded(run, "-", "--input-format", "jsonl", stdin=data) == expected
    body = b'{"body": "a", "text": "b"}'
    assert embedded(run, "-", "--input-format", "jsonl", "--field", "body", stdin=body) == [
        (0, "a")
    ]
    assert embedded(run, "-i", "in.jsonl", "--input-format", "text")[0] == (0, '"a"')


BAD_LINES = [
    ("text", b"ab\xffc", "is not UTF-8: found byte 0xff at position 3", "ab\ufffdc"),
    ("text", "ä".encode("utf-16"), "is not UTF-8: found byte 0xff at position 1", None),
    ("jsonl", b'"ab\xff"', "is not UTF-8: found byte 0xff at position 4", "ab\ufffd"),
    ("jsonl", b"{", "is not JSON: ", ""),
    ("jsonl", b"[" * 100_000, "is not JSON: ", ""),
    ("jsonl", b"1" * 5000, "is", ""),
    ("jsonl", b"NaN", "holds a number, expected a string, or an object with a string", ""),
    ("jsonl", b"null", "holds null, expected a string, or an object with a string called", ""),
    ("jsonl", b"true", "holds a boolean, expected a string, or an object with a string", ""),
    ("jsonl", b'["a"]', "holds an array, expected a string, or an object with a string", ""),
    ("jsonl", b'{"text": null}', "holds null, expected a string as 'text'", ""),
    ("jsonl", b'{"text": {}}', "holds an object, expected a string as 'text'", ""),
    ("jsonl", b'{"id": 1, "body": "x"}', "has no 'text' (it holds 'id', 'body'); name the", ""),
    ("jsonl", b"{}", "has no 'text' (it holds nothing); name the text's field by --field", ""),
]


@pytest.mark.parametrize(("form", "line", "fault", "instead"), BAD_LINES)
def test_bad_rows(
    run: Run, tmp_path: Path, form: str, line: bytes, fault: str, instead: str | None
) -> None:
    good = b"a" if form == "text" else b'"a"'
    (tmp_path / "in").write_bytes(b"\n".join([good, line, good]))
    options = ("-i", "in", "--input-format", form, "--with-text")

    result = run("embed", *options)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"bge-micro: error: in: line 2 {fault}")
    assert result.err.endswith(" (--errors replace or skip goes on after bad rows).\n")
    assert result.err.count("\n") == 1

    result = run("embed", *options, "--errors", "skip")
    assert result.code == 0
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [(row["index"], row["text"]) for row in rows] == [(0, "a"), (2, "a")]
    assert result.err == "bge-micro: warning: in: 1 bad rows were skipped.\n"

    result = run("embed", *options, "--errors", "replace")
    assert result.code == 0
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert instead is None or rows[1]["text"] == instead
    assert result.err == "bge-micro: warning: in: 1 bad rows were replaced.\n"


def test_bad_row_names_standard_input(run: Run) -> None:
    result = run("embed", "-", stdin=b"\xff")
    assert result.err.startswith("bge-micro: error: standard input: line 1 is not UTF-8: found")


def test_bad_argument(run: Run) -> None:
    result = run("embed", "a", "b\udcff")
    assert result.code == 1
    message = r"command line: argument 2 holds bytes that are no text: 'b\udcff' "
    assert result.err.startswith(f"bge-micro: error: {message}")
    result = run("embed", "a", "b\udcff", "--errors", "skip")
    assert len(result.out.splitlines()) == 1
    result = run("embed", "a", "b\udcff", "--errors", "replace")
    assert len(result.out.splitlines()) == 2


@pytest.mark.parametrize("batch_size", ["1", "3", "7"])
def test_truncation(run: Run, tmp_path: Path, batch_size: str) -> None:
    lines = [LONG if number in (2, 5) else "short" for number in range(1, 8)]
    (tmp_path / "in.txt").write_text("\n".join(lines))
    options = ("embed", "-i", "in.txt", "--batch-size", batch_size, "-o", "out.npy")

    result = run(*options)
    assert result.code == 0
    assert result.err == (
        "bge-micro: warning: in.txt: texts of more than 512 tokens: 2 (line 2, 5); "
        "only their beginnings were used.\n"
    )
    assert run(*options, "--truncation", "warn") == result
    silent = run(*options, "--truncation", "silent")
    assert (silent.code, silent.err) == (0, "")

    (tmp_path / "out.npy").unlink()
    refused = run(*options, "--truncation", "error")
    assert refused.code == 1
    assert refused.err.startswith("bge-micro: error: in.txt: texts of more than 512 tokens: ")
    assert "(line 2" in refused.err
    assert refused.err.endswith(
        "split them, or let --truncation warn or silent use their beginnings.\n"
    )
    assert not (tmp_path / "out.npy").exists()


def test_truncation_names_ten_rows(run: Run) -> None:
    result = run("embed", *([LONG] * 12), "--batch-size", "5")
    assert "tokens: 12 (argument 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...); only" in result.err


def test_prompt_counts_as_text(run: Run, model: SentenceTransformer) -> None:
    result = run("embed", "b", "--prompt", LONG)
    assert "texts of more than 512 tokens: 1 (argument 1)" in result.err
    result = run("embed", "b", "c", "--prompt", "a: ")
    vectors = [json.loads(line)["embedding"] for line in result.out.splitlines()]
    assert np.array_equal(np.array(vectors, np.float32), model.encode(["a: b", "a: c"]))


def test_blocks_end_early_where_texts_are_huge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts_module, "_MOST_CHARACTERS", 10)
    sizes = [4, 4, 4, 30, 1, 1, 1]
    rows = (FoundRow(place, "x" * size) for place, size in enumerate(sizes, 1))
    given = texts_module.TextInput(rows, "x", "line", "strict")
    blocks = [[row.place for row in block] for block in given.blocks(2)]
    assert blocks == [[1, 2], [3, 4], [5, 6], [7]]
    again = texts_module.TextInput([FoundRow(1, "x" * 10), FoundRow(2, "")], "x", "line", "strict")
    assert [[row.place for row in block] for block in again.blocks(2)] == [[1], [2]]
