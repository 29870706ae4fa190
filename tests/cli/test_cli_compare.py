"""`bge-micro info --compare`: figures of vectors from elsewhere, and what it refuses to compare."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.tiny_model import write_tiny_model
from bge_micro import SentenceTransformer
from bge_micro.cli import compare

from .conftest import Run, load_once

TEXTS = ["a b c", "d", "e f g h", "b.", "c, d", "abc bc", "h h h"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small random model."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def tiny_model(run: Run, tiny: Path) -> SentenceTransformer:
    """Return the model that the command line loads for the folder."""
    return load_once(
        model_name_or_path=str(tiny), compute_type="int8", threads=None, default_prompt_name=None
    )


def write_rows(rows: list[dict[str, Any]], path: str = "in.jsonl") -> None:
    """Write a JSON object a line into the working folder."""
    Path(path).write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")


def turned(vectors: Any, cosines: list[float]) -> Any:
    """Return vectors with the given cosines to the given ones, of lengths other than 1."""
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors, axis=1, keepdims=True)
    other = np.random.default_rng(3).standard_normal(unit.shape)
    other -= (other * unit).sum(axis=1, keepdims=True) * unit
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    wanted = np.array(cosines)[:, None]
    return 7.5 * (wanted * unit + np.sqrt(1 - wanted**2) * other)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_what_embed_writes_is_equal(run: Run, tiny: Path, precision: str) -> None:
    model = ("--model", str(tiny))
    options = ("--with-text", "--precision", precision, "--normalize")
    assert run("embed", *TEXTS, *model, *options, "-o", "x.jsonl").code == 0
    result = run("info", "--compare", "x.jsonl", *model, "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    nearest = 1e-6 if precision == "float32" else 1e-3
    assert found["rows"] == len(TEXTS)
    assert found["mean_cosine"] == pytest.approx(1, abs=nearest)
    assert found["worst_cosine"] == pytest.approx(1, abs=nearest)


@pytest.mark.parametrize("batch", [2, 1024])
def test_figures(
    run: Run,
    tiny: Path,
    tiny_model: SentenceTransformer,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
) -> None:
    monkeypatch.setitem(compare._READING, "batch_size", batch)
    cosines = [0.99, 0.5, 1.0, -0.25, 0.8, 0.97, 0.9]
    vectors = turned(tiny_model.encode(TEXTS), cosines)
    write_rows(
        [{"note": text, "v": vector.tolist()} for text, vector in zip(TEXTS, vectors, strict=True)]
    )
    options = ("--field", "note", "--vector-field", "v", "--model", str(tiny))
    result = run("info", "--compare", "in.jsonl", *options, "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["file"] == "in.jsonl"
    assert found["space_id"] == tiny_model.space_id
    assert found["rows"] == 7
    assert found["mean_cosine"] == pytest.approx(np.mean(cosines), abs=1e-6)
    assert found["worst_cosine"] == pytest.approx(-0.25, abs=1e-6)
    worst = found["most_different"]
    assert [row["line"] for row in worst] == [4, 2, 5, 7, 6]
    assert [row["text"] for row in worst] == [TEXTS[row["line"] - 1] for row in worst]
    assert [row["cosine"] for row in worst] == pytest.approx([-0.25, 0.5, 0.8, 0.9, 0.97], abs=1e-6)
    by_pipe = run("info", "--compare", "-", *options, "--json", stdin=Path("in.jsonl").read_bytes())
    assert json.loads(by_pipe.out) == found | {"file": "standard input"}


def test_lines_for_people(run: Run, tiny: Path, tiny_model: SentenceTransformer) -> None:
    texts = ["a\x1b b\nc", "d " * 100]
    vectors = turned(tiny_model.encode(texts), [0.75, 0.5])
    rows = [{"text": t, "embedding": v.tolist()} for t, v in zip(texts, vectors, strict=True)]
    lines = [json.dumps(row) for row in rows]
    # A mark of UTF-8, empty lines and ends of lines as on Windows; empty lines count as lines.
    Path("in.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(lines).encode())
    result = run("info", "--compare", "in.jsonl", "--model", str(tiny), columns=60)
    assert result.code == 0
    found = result.out.splitlines()
    assert [line[20:] for line in found[:5]] == [
        "in.jsonl",
        tiny_model.space_id,
        "2",
        "0.625000",
        "0.500000",
    ]
    assert found[6] == " 0.500000        3  " + ("d " * 100)[:37] + "..."
    assert found[7] == " 0.750000        1  a  b c"
    assert len(found) == 8
    assert result.err == (
        "bge-micro: warning: in.jsonl: texts of more than 32 tokens: 1 (line 3); only their "
        "beginnings were used.\n"
    )


def test_prompt_and_compute_type_apply(run: Run, tiny: Path) -> None:
    options = ("--model", str(tiny), "--prompt", "g h ", "--compute-type", "float32")
    run("embed", *TEXTS, *options, "--with-text", "-o", "x.jsonl")
    found = json.loads(run("info", "--compare", "x.jsonl", *options, "--json").out)
    assert found["worst_cosine"] == pytest.approx(1, abs=1e-6)
    for left in (2, 4):  # without the prompt; with the prompt in int8
        fewer = json.loads(run("info", "--compare", "x.jsonl", *options[:left], "--json").out)
        assert fewer["worst_cosine"] < 1 - 1e-6


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e300])
def test_vectors_of_any_length(
    run: Run, tiny: Path, tiny_model: SentenceTransformer, size: float
) -> None:
    vector = tiny_model.encode("a b").astype(np.float64)
    write_rows([{"text": "a b", "embedding": (vector / np.abs(vector).max() * size).tolist()}])
    found = json.loads(run("info", "--compare", "in.jsonl", "--model", str(tiny), "--json").out)
    assert found["worst_cosine"] == pytest.approx(1, abs=1e-4)


GOOD = json.dumps({"text": "a", "embedding": [0.5] * 64})
EXPECTED = 'a JSON object like {"text": "...", "embedding": [0.1, ...]}'


def row(first: str = "1", count: int = 64) -> str:
    """Return a line whose vector has the given first number, as JSON, and zeros."""
    return f'{{"text": "a", "embedding": [{", ".join([first] + ["0"] * (count - 1))}]}}'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", f"is not JSON: .*; expected {EXPECTED}"),
        ("[" * 100_000, f"is not JSON: .*; expected {EXPECTED}"),
        ("\udcff", "is not UTF-8: found byte 0xff at position 1"),
        ('"a"', f"holds a string, expected {EXPECTED}"),
        ("[1]", f"holds an array, expected {EXPECTED}"),
        ("{}", "has no 'text' (it holds nothing); name its key by --field"),
        ('{"t": "a"}', "has no 'text' (it holds 't'); name its key by --field"),
        (
            '{"text": "a", "v": [1]}',
            "has no 'embedding' (it holds 'text', 'v'); name its key by --vector-field",
        ),
        ('{"text": 1, "embedding": []}', "holds a number as 'text', expected a string"),
        ('{"text": "a", "embedding": null}', "holds null as 'embedding', expected an array"),
        ('{"text": "a", "embedding": "AAA="}', "holds a string as 'embedding', expected an array"),
        (row("true"), "holds a boolean at position 1 of 'embedding', expected a number"),
        (row("[1]"), "holds an array at position 1 of 'embedding', expected a number"),
        (
            row(count=63),
            "holds 63 numbers as 'embedding', expected 64, as many as the model's vectors have; "
            "--model names the model they are from",
        ),
        ('{"text": "a", "embedding": []}', "holds 0 numbers as 'embedding', expected 64, .*"),
        (row("0"), "holds zeros only in 'embedding', which has no cosine"),
        (row("NaN"), "holds NaN or infinity in 'embedding', expected finite numbers"),
        (row("-Infinity"), "holds NaN or infinity in 'embedding', expected finite numbers"),
        (row("1e999"), "holds NaN or infinity in 'embedding', expected finite numbers"),
        (row("9" * 400), "holds NaN or infinity in 'embedding', expected finite numbers"),
    ],
)
def test_bad_lines_are_named(run: Run, tiny: Path, line: str, message: str) -> None:
    Path("in.jsonl").write_bytes(f"{GOOD}\n\n{line}\n".encode(errors="surrogateescape"))
    result = run("info", "--compare", "in.jsonl", "--model", str(tiny))
    assert (result.code, result.out) == (1, "")
    start, _, end = f"bge-micro: error: in.jsonl: line 3 {message}.\n".partition(".*")
    assert result.err.startswith(start)
    assert result.err.endswith(end)


def test_no_rows(run: Run, tiny: Path) -> None:
    result = run("info", "--compare", "-", "--model", str(tiny), stdin=b"\n\n")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"bge-micro: error: standard input: holds no rows; expected {EXPECTED} a line.\n"
    )


def test_a_missing_file(run: Run) -> None:
    result = run("info", "--compare", "none.jsonl")
    assert (result.code, result.out) == (1, "")
    assert result.err == "bge-micro: error: none.jsonl: No such file or directory\n"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--field", "a"),
        ("--vector-field", "a"),
        ("--model", "a"),
        ("--compute-type", "float32"),
        ("--threads", "1"),
        ("--prompt", "a"),
        ("--prompt-name", "a"),
    ],
)
def test_options_that_need_compare(run: Run, option: str, value: str) -> None:
    result = run("info", option, value)
    assert (result.code, result.out) == (2, "")
    assert result.err == (f"bge-micro: error: {option} applies together with --compare FILE only\n")


def test_the_model_is_no_argument(run: Run) -> None:
    result = run("info", "folder", "--compare", "x.jsonl")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "bge-micro: error: --compare takes the model by --model: give --model FOLDER instead of "
        "FOLDER\n"
    )


def test_a_closed_pipe_is_no_error_message(
    run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("embed", "a", "--model", str(tiny), "--with-text", "-o", "x.jsonl")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", closed)
        result = run("info", "--compare", "x.jsonl", "--model", str(tiny))
    assert (result.code, result.err) == (141, "")
