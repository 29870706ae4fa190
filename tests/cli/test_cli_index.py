"""`bge-micro index` of files: ids and metadata, rows added and removed, interrupted runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bge_micro import SentenceTransformer
from bge_micro.search import Index
from bge_micro.search.saved import UNFINISHED_FILE, open_index, writer

from .conftest import Run

ROWS = [
    {"id": "cat", "text": "a cat sleeps", "page": 1, "tags": ["pet"]},
    {"id": 7, "text": "shares fell", "page": 2, "tags": []},
    {"id": None, "text": "a dog barks", "page": 3, "tags": ["pet"]},
]
MORE = [
    {"id": "hen", "text": "", "page": 4, "tags": None},
    {"id": "owl", "text": "an owl hoots", "page": 5, "tags": ["bird"]},
]


def write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def same_index(first: Path, second: Path) -> bool:
    """Tell whether two folders hold the same rows, bit by bit."""
    one, two = open_index(first), open_index(second)
    return (
        one.vectors.tobytes() == two.vectors.tobytes()
        and (one.space_id, one.prompt) == (two.space_id, two.prompt)
        and [*one.texts] == [*two.texts]
        and [*(one.ids or [])] == [*(two.ids or [])]
        and [*(one.metadata or [])] == [*(two.metadata or [])]
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write_rows(tmp_path / "rows.jsonl", ROWS)
    write_rows(tmp_path / "more.jsonl", MORE)
    write_rows(tmp_path / "all.jsonl", [*ROWS, *MORE])
    return tmp_path


LABELS = ["--ids", "id", "--metadata", "page,tags"]


def test_ids_and_metadata(run: Run, files: Path, model: SentenceTransformer) -> None:
    assert run("index", "-i", "rows.jsonl", "-o", "index", *LABELS).err == ""
    index = Index.load(files / "index", model)
    assert [*index.ids] == ["cat", "7", None]
    assert [*index.metadata] == [{"page": row["page"], "tags": row["tags"]} for row in ROWS]
    found = json.loads(run("search", "a kitten", "-i", "index", "-k", "1", "--json").out)
    assert found["hits"][0]["id"] == "cat"
    assert found["hits"][0]["metadata"] == {"page": 1, "tags": ["pet"]}
    assert run("index", "-i", "rows.jsonl", "-o", "whole", "--metadata", "all").code == 0
    assert open_index(files / "whole").metadata[1] == {"id": 7, "page": 2, "tags": []}


def test_ids_and_metadata_of_csv(run: Run, files: Path) -> None:
    (files / "x.csv").write_text("key,text,place\n1,a cat,here\n2,a dog,there\n")
    argv = ["--ids", "key", "--metadata", "place"]
    assert run("index", "-i", "x.csv", "-o", "index", *argv).code == 0
    saved = open_index(files / "index")
    assert ([*saved.ids], [*saved.metadata]) == (
        ["1", "2"],
        [{"place": "here"}, {"place": "there"}],
    )


@pytest.mark.parametrize("labels", [LABELS, []])
@pytest.mark.parametrize("options", [[], ["--precision", "int8", "--truncate-dim", "64"]])
def test_what_is_added_is_as_if_it_had_been_there(
    run: Run, files: Path, options: list[str], labels: list[str]
) -> None:
    assert run("index", "-i", "rows.jsonl", "-o", "index", *labels, *options).code == 0
    assert run("index", "-i", "more.jsonl", "-o", "index", "--add", *labels).err == ""
    assert run("index", "-i", "all.jsonl", "-o", "whole", *labels, *options).code == 0
    assert same_index(files / "index", files / "whole")


def test_what_is_removed_is_as_if_it_had_not_been_there(run: Run, files: Path) -> None:
    write_rows(files / "rest.jsonl", [ROWS[2], MORE[1]])
    assert run("index", "-i", "rest.jsonl", "-o", "rest", *LABELS).code == 0
    (files / "ids.txt").write_text("cat\n\n7\n")
    for number, argv in enumerate([["--remove", "7", "cat"], ["--remove-from", "ids.txt"]]):
        folder = f"index{number}"
        assert run("index", "-i", "all.jsonl", "-o", folder, *LABELS).code == 0
        assert run("index", "-o", folder, *argv).err == ""
        assert same_index(files / folder, files / "rest")
    assert run("index", "-o", "index0", "--remove-from", "-", stdin=b"owl\n").code == 0
    assert [*open_index(files / "index0").texts] == ["a dog barks"]


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["-i", "rows.jsonl", "--add", "--ids", "id"], 1, "line 1: the id 'cat' is there already"),
        (["-i", "rows.jsonl", "--ids", "tags"], 1, "line 1: the id ['pet'] is no string and no"),
        (["-i", "rows.jsonl", "--ids", "idd"], 1, "line 1 has no 'idd' (it holds 'id', 'text'"),
        (["-i", "rows.jsonl", "--metadata", "pag"], 1, "line 1 has no 'pag' (it holds 'id', 'te"),
        (["a text", "--ids", "id"], 2, "--ids id names a key or column, and these are plain"),
        (["a text", "--add", "--precision", "int8"], 2, "index was made with precision float32"),
        (["a text", "--add", "--prompt", "x: "], 2, "the prompt is 'x: ', and the texts of index"),
        (["a text", "--add", "--resume"], 2, "not allowed with argument"),
        (["--remove", "cow", "cat"], 1, "1 of 2 ids are not there: 'cow'."),
        (["-i", "rows.jsonl", "--remove", "cat"], 2, "--remove reads no texts"),
        (["-i", ".", "--add"], 2, "the same command again brings its index up to date"),
        (["-i", ".", "--ids", "id"], 2, "is a folder of notes, and --ids is for files"),
    ],
)
def test_what_is_refused_changes_nothing(
    run: Run, files: Path, argv: list[str], code: int, message: str
) -> None:
    assert run("index", "-i", "rows.jsonl", "-o", "index", *LABELS).code == 0
    before = {path.name: path.read_bytes() for path in (files / "index").iterdir()}
    result = run("index", *argv, "-o", "index")
    assert result.code == code
    assert message in result.err
    assert {path.name: path.read_bytes() for path in (files / "index").iterdir()} == before


def test_equal_ids_of_one_file(run: Run, files: Path) -> None:
    write_rows(files / "x.jsonl", [ROWS[0], ROWS[0]])
    result = run("index", "-i", "x.jsonl", "-o", "index", "--ids", "id", "--batch-size", "1")
    assert result.code == 1
    assert "x.jsonl: line 2: the id 'cat' is there already" in result.err
    assert not (files / "index").exists()


def test_nothing_to_add_to(run: Run, files: Path) -> None:
    result = run("index", "a text", "-o", "index", "--add")
    assert result.code == 1
    assert not (files / "index").exists()


def test_a_failed_run_is_resumed(
    run: Run, files: Path, model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CHECKPOINT_SECONDS", 0.0)
    lines = [json.dumps({"id": n, "text": f"text number {n}"}) for n in range(20)]
    argv = ["index", "-i", "x.jsonl", "-o", "index", "--ids", "id", "--batch-size", "4"]
    (files / "x.jsonl").write_text("\n".join([*lines[:14], "no JSON", *lines[15:]]))
    result = run(*argv)
    assert "index: 12 rows are done and kept; the same command with --resume goes on" in result.err
    (files / "x.jsonl").write_text("\n".join(lines))
    other = run(*argv, "--resume", "--prompt", "x: ")
    assert "the unfinished work is of another model or prompt" in other.err
    encoded: list[str] = []
    encode = SentenceTransformer.run

    def noted(self: SentenceTransformer, texts: list[str], *args: Any) -> Any:
        encoded.extend(texts)
        return encode(self, texts, *args)

    monkeypatch.setattr(SentenceTransformer, "run", noted)
    assert run(*argv, "--resume").err == ""
    texts = [f"text number {n}" for n in range(20)]
    assert encoded == texts[12:]
    saved = open_index(files / "index")
    assert saved.vectors.tobytes() == model.encode_document(texts, **saved.options).tobytes()
    assert not (files / "index" / UNFINISHED_FILE).exists()


# Kills itself after so many calls of a method of IndexWriter, which each follow a block of rows.
PROGRAM = """
import os, signal, sys
from bge_micro.cli import main
from bge_micro.search.saved import writer

writer.CHECKPOINT_SECONDS = 0.0
name, calls = sys.argv[1], int(sys.argv[2])
method = getattr(writer.IndexWriter, name)

def counted(self, *arguments):
    global calls
    method(self, *arguments)
    calls -= 1
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)

setattr(writer.IndexWriter, name, counted)
sys.exit(main(["index", *sys.argv[3:]]))
"""
NEVER = -1


def run_killed(folder: Path, method: str, calls: int, *argv: str) -> int:
    """Run a command in a child that kills itself; return its exit code."""
    options = ["--ids", "id", "--batch-size", "16", "--threads", "1"]
    command = [sys.executable, "-c", PROGRAM, method, str(calls), *argv, *options]
    return subprocess.run(command, cwd=folder, check=False).returncode


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_kill_9_again_and_again(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", [{"id": n, "text": f"line {n} of many"} for n in range(200)])
    assert run_killed(tmp_path, "checkpoint", NEVER, "-i", "in.jsonl", "-o", "whole") == 0
    target = tmp_path / "index"
    argv = ["-i", "in.jsonl", "-o", "index", "--resume"]
    for calls, kept in ((3, 48), (2, 48), (7, 112)):  # fewer new rows leave the older ones
        assert run_killed(tmp_path, "checkpoint", calls, *argv) == -signal.SIGKILL
        assert not (target / "index.json").exists()
        assert json.loads((target / UNFINISHED_FILE).read_text())["rows"] == kept
    assert run_killed(tmp_path, "checkpoint", NEVER, *argv) == 0
    assert same_index(target, tmp_path / "whole")
    assert not (target / UNFINISHED_FILE).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize(("method", "calls"), [("append", 1), ("append", 5), ("sync", 1)])
def test_kill_9_while_rows_are_added(tmp_path: Path, method: str, calls: int) -> None:
    rows: list[dict[str, object]] = [{"id": n, "text": f"line {n} of many"} for n in range(100)]
    for name, part in (("first", rows[:10]), ("second", rows[10:]), ("all", rows)):
        write_rows(tmp_path / f"{name}.jsonl", part)
    for file, folder in (("all", "whole"), ("first", "index")):
        assert run_killed(tmp_path, "append", NEVER, "-i", f"{file}.jsonl", "-o", folder) == 0
    before = [*open_index(tmp_path / "index").texts]
    add = ["-i", "second.jsonl", "-o", "index", "--add"]
    assert run_killed(tmp_path, method, calls, *add) == -signal.SIGKILL
    assert [*open_index(tmp_path / "index").texts] == before
    assert run_killed(tmp_path, "append", NEVER, *add) == 0
    assert same_index(tmp_path / "index", tmp_path / "whole")
