"""`bge-micro bench`, `completion`, `doctor` and `similarity --plot`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from bge_micro import SentenceTransformer, __version__
from bge_micro.cli import bench, completion
from bge_micro.cli.completion import SHELLS

from .conftest import Run


def test_bench(run: Run, monkeypatch: pytest.MonkeyPatch, model: SentenceTransformer) -> None:
    monkeypatch.setattr(bench, "_SENTENCES", 8)
    result = run("bench", "--json")
    assert (result.code, result.err) == (0, "")
    facts = json.loads(result.out)
    assert facts["query_tokens"] == 15
    assert 0 < facts["query_p50_ms"] <= facts["query_p99_ms"]
    assert facts["tokens_per_second"] == pytest.approx(27 * facts["sentences_per_second"], rel=0.05)
    assert (facts["isa"], facts["threads"]) == (model.isa, model.threads)
    assert facts["bge_micro"] == __version__
    assert facts["space_id"] == model.space_id
    assert all(facts.values())
    lines = run("bench").out.splitlines()
    assert [line[:21].strip() for line in lines] == [name.replace("_", " ") for name in facts]


@pytest.mark.parametrize("shell", SHELLS)
def test_completion(run: Run, shell: str) -> None:
    shtab = pytest.importorskip("shtab", reason="needs the extra bge-micro[completion]")
    assert set(SHELLS) <= set(shtab.SUPPORTED_SHELLS)
    result = run("completion", shell)
    assert (result.code, result.err) == (0, "")
    for word in ("embed", "search", "completion", "doctor"):
        assert word in result.out


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_in_bash(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("shtab", reason="needs the extra bge-micro[completion]")
    script = run("completion", "bash").out
    (tmp_path / "texts.txt").write_text("")
    ask = """
        COMP_WORDS=({words}); COMP_CWORD={last}
        _shtab_bge_micro; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    for words, expected in (
        (["bge-micro", "sea"], "search"),
        (["bge-micro", "embed", "--tr"], "--trun"),
    ):
        asked = ask.format(words=" ".join(words), last=len(words) - 1)
        answer = subprocess.run(
            ["bash", "-c", script + asked], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert expected in answer.stdout, (words, answer)


def test_paths_are_completed() -> None:
    from bge_micro.cli import build_parser

    actions = {action.metavar for action in completion._actions(build_parser())}
    assert set(completion._PATHS) <= actions


def test_doctor_is_info(run: Run) -> None:
    assert json.loads(run("doctor", "--json").out) == json.loads(run("info", "--json").out)


@pytest.mark.parametrize(("name", "magic"), [("m.png", b"\x89PNG"), ("m.svg", b"<?xml")])
def test_heat_map(run: Run, tmp_path: Path, name: str, magic: bytes) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra bge-micro[plot]")
    (tmp_path / "in.txt").write_text("a $x^$ b\nä ß\n" + "long " * 50 + "\n")
    for argv in (["-i", "in.txt"], ["one", "two"]):
        result = run("similarity", *argv, "--plot", name)
        assert (result.code, result.out, result.err) == (0, "", "")
        assert (tmp_path / name).read_bytes().startswith(magic)
        (tmp_path / name).unlink()


def test_heat_map_of_what_cannot_be_shown(run: Run) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra bge-micro[plot]")
    result = run("similarity", "a", "b", "--plot", "m.txt")
    assert (result.code, result.out) == (1, "")
    assert "m.txt: expected a file ending in one of " in result.err
    result = run("similarity", "-", "--plot", "m.png")
    assert "a heat map shows 1 to 2000 texts, not 0." in result.err
