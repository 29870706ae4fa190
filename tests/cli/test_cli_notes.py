"""`bge-micro index` of a folder of notes, and `search` in it: the example of the documentation."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from .conftest import Run
from .test_documented_commands import REPOSITORY, commands

pytest.importorskip("markdown_it", reason="Markdown needs the extra bge-micro[notes]")
pytest.importorskip("pathspec", reason="ignore files need the extra bge-micro[notes]")

NOTES = REPOSITORY / "examples" / "notes"
PAGE = REPOSITORY / "docs" / "how-to" / "notes.md"
pytestmark = pytest.mark.skipif(not NOTES.is_dir(), reason="needs a checkout: reads its examples")


@pytest.fixture
def notes(run: Run, tmp_path: Path) -> Path:
    """Return a copy of the example in the empty folder in which commands run."""
    return shutil.copytree(NOTES, tmp_path / "notes")


@pytest.mark.usefixtures("notes")
def test_the_page_shows_what_is_printed(run: Run) -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    first, second, *_ = commands(text)
    result = run(*first)
    assert (result.code, result.out) == (0, "")
    assert result.err == shown[0]
    result = run(*second, columns=80)
    assert result.code == 0
    assert re.sub(r"0\.\d{4}", "0.xxxx", result.out) == re.sub(r"0\.\d{4}", "0.xxxx", shown[1])


def test_again(run: Run, notes: Path) -> None:
    assert run("index", "-i", "notes", "-o", "index").code == 0
    (notes / "wifi.txt").unlink()
    (notes / "new.md").write_text("# New\nA red bicycle\n")
    (notes / "bad.md").write_bytes(b"\xff\xff")
    path = notes / "garden" / "Compost.md"
    path.write_text(path.read_text().replace("two weeks", "three weeks"))
    result = run("index", "-i", "notes", "-o", "index")
    assert result.code == 0
    assert result.err == (
        f"bge-micro: warning: {Path('notes/bad.md')}: is not UTF-8: bad byte at position 1; it was "
        "left out.\n"
        "bge-micro: notes: 1 notes new, 1 changed, 1 removed, 2 unchanged, 1 left out; 2 of 10 "
        "passages encoded.\n"
    )
    assert run("search", "cycling", "-i", "index", "-k", "1").out.split("\t")[3:] == [
        "new.md:1",
        "New",
        "A red bicycle\n",
    ]


@pytest.mark.usefixtures("notes")
def test_json_for_editors(run: Run) -> None:
    run("index", "-i", "notes", "-o", "index")
    result = run("search", "compost temperature", "-i", "index", "-k", "1", "--json")
    (hit,) = json.loads(result.out)["hits"]
    score, row = hit.pop("score"), hit.pop("row")
    assert 0 < score < 1
    assert 0 <= row < 10
    assert hit == {
        "id": "garden/Compost.md#Heat",
        "path": "garden/Compost.md",
        "line": 6,
        "end_line": 14,
        "heading": "Compost > Heat",
        "passage": "A heap of less than a cubic metre does not get hot. Check with the probe:\n\n"
        "```sh\n# degrees Celsius\nread-probe --last 1\n```",
    }


def test_a_terminal_is_not_controlled(run: Run, notes: Path) -> None:
    (notes / "x.md").write_text("# A\x1b[31m\nred\x1b[31m roses\n")
    run("index", "-i", "notes", "-o", "index")
    for line in run("search", "red roses", "-i", "index", "-k", "9", columns=60).out.splitlines():
        assert line.isprintable()
        assert len(line) <= 60


def test_interrupted(run: Run, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bge_micro.search.saved import writer

    monkeypatch.setattr(writer, "CHECKPOINT_SECONDS", 0)
    publish = writer.write_facts

    def fail_at_the_end(folder: Path, facts: object, name: str) -> None:
        if name == "index.json":
            raise KeyboardInterrupt
        publish(folder, facts, name)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_facts", fail_at_the_end)
        result = run("index", "-i", "notes", "-o", "index")
    assert result.code == 130
    assert result.err == (
        "bge-micro: 10 passages are done and kept; the same command goes on from there.\n"
    )
    result = run("index", "-i", "notes", "-o", "index")
    assert "0 of 10 passages encoded" in result.err


@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-i", "notes", "--field", "a"], "a folder of notes, and --field is for files"),
        (["-i", "notes", "--input-format", "csv"], "and --input-format is for files"),
        (["-i", "notes", "--errors", "skip"], "and --errors is for files"),
        (["-i", "notes", "--batch-size", "2"], "and --batch-size is for files"),
        (["-i", "notes", "--truncation", "error"], "and --truncation is for files"),
        (["-i", "notes", "a text"], "give texts as arguments or by -i, not both"),
        (["-i", "notes/wifi.txt", "--overlap", "5"], "are for a folder of notes"),
        (["a text", "--follow-links"], "are for a folder of notes"),
    ],
)
def test_options_that_would_do_nothing(run: Run, options: list[str], message: str) -> None:
    result = run("index", *options, "-o", "index")
    assert result.code == 2
    assert message in result.err
    assert not Path("index").exists()


@pytest.mark.usefixtures("notes")
def test_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr("bge_micro.search.notes.extra.import_module", refuse)
    result = run("index", "-i", "notes", "-o", "index")
    assert result.code == 1
    assert "needs a package (pathspec): pip install 'bge-micro[notes]'" in result.err
