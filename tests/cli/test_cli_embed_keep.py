"""`bge-micro embed`: which rows a file of vectors has, and what is carried along of them."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro.cli import partial_file
from bge_micro.vector_files import read_vectors

from .conftest import Run

FORMATS = ["jsonl", "npz", "parquet"]
CSV = 'id,title,text\n7,"A, b",one\n8,Вот,two\n9,,three\n'
JSON_ROWS = [
    {"id": 1, "score": 1, "flag": True, "mixed": "a", "more": {"x": [1]}, "text": "one"},
    {"id": 2, "score": 2.5, "flag": False, "mixed": 5, "more": None, "text": "two"},
    {"id": 3, "score": None, "flag": True, "mixed": None, "more": [], "text": "three"},
]


def columns_of(path: Path) -> dict[str, list[Any]]:
    """Return what a file holds besides the vectors and their space, by name."""
    if path.suffix == ".npz":
        with np.load(path) as archive:
            names = set(archive.files) - {"embeddings", "space_id"}
            return {name: archive[name].tolist() for name in names}
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra bge-micro[arrow]")
        return parquet.read_table(path).drop_columns("embedding").to_pydict()
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {name: [row.get(name) for row in rows] for name in rows[0] if name != "embedding"}


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("keep", ["id,title", "all"])
def test_columns_of_csv(run: Run, tmp_path: Path, ending: str, keep: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra bge-micro[arrow]")
    (tmp_path / "x.csv").write_text(CSV, "utf-8")
    result = run("embed", "-i", "x.csv", "--keep", keep, "-o", f"v.{ending}")
    assert (result.code, result.err) == (0, "")
    found = columns_of(tmp_path / f"v.{ending}")
    found.pop("index", None)
    assert found == {"id": ["7", "8", "9"], "title": ["A, b", "Вот", ""]}


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("jsonl", {name: [row[name] for row in JSON_ROWS] for name in JSON_ROWS[0]}),
        (
            "parquet",
            {
                "score": [1.0, 2.5, None],
                "mixed": ["a", "5", None],
                "more": ['{"x": [1]}', None, "[]"],
            },
        ),
        (
            "npz",
            {
                "mixed": ["a", "5", ""],
                "more": ['{"x": [1]}', "", "[]"],
                "flag": [True, False, True],
            },
        ),
    ],
)
def test_values_of_json_keep_their_types(
    run: Run, tmp_path: Path, ending: str, expected: dict[str, list[Any]]
) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra bge-micro[arrow]")
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, JSON_ROWS)))
    argv = ["--keep", "all", "--batch-size", "2", "-o", f"v.{ending}"]
    assert run("embed", "-i", "x.jsonl", *argv).code == 0
    found = columns_of(tmp_path / f"v.{ending}")
    assert found["id"] == [1, 2, 3]
    expected.pop("text", None)
    assert {name: found[name] for name in expected} == expected
    if ending == "npz":
        np.testing.assert_array_equal(found["score"], [1, 2.5, np.nan])


def test_columns_of_parquet_keep_their_types(run: Run, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="needs the extra bge-micro[arrow]")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra bge-micro[arrow]")
    day = datetime.date(2024, 2, 29)
    given = arrow.table(
        {
            "text": ["one", "two"],
            "day": [day, None],
            "raw": arrow.array([b"\xff", b""]),
            "kind": arrow.array(["a", "b"]).dictionary_encode(),
            "small": arrow.array([1, 2], arrow.uint8()),
            "list": [[1, 2], []],
        }
    )
    parquet.write_table(given, tmp_path / "x.parquet")
    assert run("embed", "-i", "x.parquet", "--keep", "all", "-o", "v.parquet").code == 0
    found = parquet.read_table(tmp_path / "v.parquet")
    for name in ("day", "raw", "small", "list"):
        assert found[name].to_pylist() == given[name].to_pylist()
        assert found.schema.field(name).type == given.schema.field(name).type
    assert found["kind"].to_pylist() == ["a", "b"]
    assert run("embed", "-i", "x.parquet", "--keep", "day,small", "-o", "v.jsonl").code == 0
    assert columns_of(tmp_path / "v.jsonl")["day"] == ["2024-02-29", None]
    result = run("embed", "-i", "x.parquet", "--keep", "raw")
    assert "bytes cannot be written as JSON" in result.err


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["-i", "x.csv", "--keep", "titel"], 1, "has no 'titel' (it holds 'id', 'title', 'text')"),
        (["-i", "x.csv", "--keep", "id", "-o", "v.npy"], 2, "--keep applies to JSONL, Parquet and"),
        (["-i", "x.csv", "--keep", "id", "-o", "v.safetensors"], 2, "not to safetensors"),
        (["-i", "x.txt", "--keep", "id"], 2, "--keep id names a key or column, and these are"),
        (["a text", "--keep", "all"], 2, "--keep all names a key or column, and these are plain"),
        (["-i", "own.jsonl", "--keep", "all"], 1, "the output has its own 'index', so the input's"),
        (["-i", "own.jsonl", "--keep", "id"], 1, "line 2 has no 'id' (it holds 'text')"),
        (["-i", "own.jsonl", "--keep", "id", "--errors", "replace"], 0, "1 bad rows were replaced"),
    ],
)
def test_what_cannot_be_kept(
    run: Run, tmp_path: Path, argv: list[str], code: int, message: str
) -> None:
    (tmp_path / "x.csv").write_text(CSV, "utf-8")
    (tmp_path / "x.txt").write_text("one\n")
    (tmp_path / "own.jsonl").write_text('{"text": "a", "index": 5, "id": 1}\n{"text": "b"}\n')
    result = run("embed", *argv)
    assert result.code == code
    assert message in result.err


@pytest.mark.parametrize("ending", FORMATS)
def test_a_resumed_run_keeps_what_the_first_has_read(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra bge-micro[arrow]")
    monkeypatch.setattr(partial_file, "JOURNAL_SECONDS", 0.0)
    good = [json.dumps({"id": row, "v": row / 2, "text": f"text {row}"}) for row in range(12)]
    good[2] = json.dumps({"id": 2, "text": ""})
    argv = ["embed", "-i", "x.jsonl", "--keep", "all", "--skip-blank", "--batch-size", "3"]
    (tmp_path / "x.jsonl").write_text("\n".join([*good[:9], "no JSON", *good[10:]]))
    assert "rows are done and kept" in run(*argv, "-o", f"v.{ending}").err
    (tmp_path / "x.jsonl").write_text("\n".join([good[0].replace("0.0", "0.5"), *good[1:]]))
    assert "have changed" in run(*argv, "-o", f"v.{ending}", "--resume").err
    (tmp_path / "x.jsonl").write_text("\n".join(good))
    assert run(*argv, "-o", f"v.{ending}", "--resume").code == 0
    assert run(*argv, "-o", f"whole.{ending}").code == 0
    assert (tmp_path / f"v.{ending}").read_bytes() == (tmp_path / f"whole.{ending}").read_bytes()


BAD = b"good morning\nb\xe4d\n\nfine weather\n"


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("ending", ["npz", "safetensors", "parquet"])
def test_search_names_the_rows_that_remained(
    run: Run, tmp_path: Path, ending: str, precision: str
) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra bge-micro[arrow]")
    (tmp_path / "x.txt").write_bytes(BAD)
    argv = ["--errors", "skip", "--skip-blank", "--precision", precision, "--truncate-dim", "101"]
    if precision == "float32":
        argv.append("--normalize")
    assert run("embed", "-i", "x.txt", *argv, "-o", f"v.{ending}").code == 0
    assert read_vectors(tmp_path / f"v.{ending}").numbers.tolist() == [0, 3]
    hits = json.loads(run("search", "fine weather", "-i", f"v.{ending}", "--json").out)["hits"]
    assert [hit["row"] for hit in hits] == [3, 0]
    assert run("search", "fine weather", "-i", f"v.{ending}", "-k", "1").out.split("\t")[3] == "3"


def test_rows_are_read_by_the_packages_of_the_formats(run: Run, tmp_path: Path) -> None:
    from safetensors import numpy as numpy_file

    (tmp_path / "x.txt").write_bytes(BAD)
    argv = ["embed", "-i", "x.txt", "--errors", "skip", "--skip-blank", "--truncate-dim", "3"]
    assert run(*argv, "--precision", "int8", "-o", "v.safetensors").code == 0
    tensors = numpy_file.load_file(tmp_path / "v.safetensors")
    assert tensors["rows"].tolist() == [0, 3]
    assert tensors["embeddings"].shape == (2, 3)
    assert run(*argv, "-o", "v.npz").code == 0
    assert columns_of(tmp_path / "v.npz") == {"rows": [0, 3]}


def test_a_format_without_row_numbers_says_which_are_missing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(BAD)
    result = run("embed", "-i", "x.txt", "--errors", "skip", "--skip-blank", "-o", "v.npy")
    assert result.code == 0
    assert "v.npy: rows 1, 2 of the input were left out (numbers from 0)" in result.err
    assert run("embed", "-i", "x.txt", "--errors", "replace", "-o", "v.npy").err.count("rows") == 1


@pytest.mark.parametrize("ending", ["npy", "npz", "safetensors", "parquet", "jsonl"])
def test_folders_above_the_output_are_made(run: Run, tmp_path: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra bge-micro[arrow]")
    assert run("embed", "a", "-o", f"new/folder/v.{ending}").code == 0
    assert (tmp_path / f"new/folder/v.{ending}").is_file()
