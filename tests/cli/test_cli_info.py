"""`bge-micro info`: what it tells, and that it finds what is damaged."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import bge_micro
from bge_micro import SentenceTransformer, __version__, _core, checkpoint
from bge_micro.checkpoint import locate
from bge_micro.checkpoint.side_file import read_side_file
from bge_micro.cli import checks
from bge_micro.cli.checks import read_golden

from .conftest import Result, Run

CHECKS = ["model.safetensors", "tokenizer.json", "int8 vectors", "float32 vectors"]


@pytest.fixture(autouse=True)
def load_afresh(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load models for every command, which the fixture `run` does not."""
    monkeypatch.setattr(bge_micro, "SentenceTransformer", SentenceTransformer)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a copy in the bundled model's place, to be damaged, and return its folder."""
    bundled = checkpoint.bundled_folder()
    folder = tmp_path / "data" / bundled.name
    shutil.copytree(bundled, folder)
    shutil.copy(bundled.parent / "golden.json", folder.parent)
    for module in (locate, checkpoint, checks):
        monkeypatch.setattr(module, "bundled_folder", lambda: folder)
    return folder


def failures(result: Result) -> dict[str, str]:
    """Return the failed checks and what they say; there must be some."""
    facts = json.loads(result.out)
    assert (result.code, facts["ok"], result.err) == (1, False, "")
    assert [check["name"] for check in facts["checks"]] == CHECKS
    return {check["name"]: check["detail"] for check in facts["checks"] if not check["ok"]}


def test_facts(run: Run, monkeypatch: pytest.MonkeyPatch, model: SentenceTransformer) -> None:
    monkeypatch.setenv("BGE_MICRO_NUM_THREADS", "1")
    result = run("info", "--json")
    assert (result.code, result.err) == (0, "")
    facts = json.loads(result.out)
    assert facts["version"] == __version__
    assert facts["packages"].keys() == {"numpy", "tokenizers", "safetensors"}
    assert facts["isa"]["name"] == model.isa
    assert facts["isa"]["reason"]
    built = [(isa["name"], isa["supported"]) for isa in facts["isa"]["built"]]
    assert built == _core.instruction_sets()
    reason = "BGE_MICRO_NUM_THREADS asks for it"
    assert facts["threads"] == {"count": 1, "reason": reason, "backend": _core.parallel_backend}
    assert facts["numerics_version"] == _core.numerics_version
    assert facts["model"]["name"] == "bge-micro-v2"
    assert facts["model"]["source"]["repo_id"] == "TaylorAI/bge-micro-v2"
    assert facts["model"]["license"] == "MIT, Copyright (c) 2023 Benjamin Anderson"
    assert facts["model"]["space_ids"]["int8"] == model.space_id
    assert ";compute=float32;" in facts["model"]["space_ids"]["float32"]
    assert [check["name"] for check in facts["checks"]] == CHECKS
    assert facts["ok"] is True


def test_lines_for_people(run: Run, model: SentenceTransformer) -> None:
    result = run("info")
    assert (result.code, result.err) == (0, "")
    fields = {line[:20].strip(): line[20:] for line in result.out.splitlines()}
    assert fields["bge-micro"] == __version__
    assert fields["isa"].startswith(f"{model.isa}: ")
    assert "scalar" in fields["isas built"]
    assert fields["space of int8"] == model.space_id
    weights = (
        r"restored from the official export \(sha256 ed65e360\w+\), offsets \(sha256 d1257998\w+\)"
    )
    assert re.fullmatch(weights, fields["weights"])
    assert all(fields[name].startswith("ok: ") for name in CHECKS)
    assert all(value for value in fields.values())


def test_golden_is_of_this_numerics_version() -> None:
    golden = read_golden()
    assert golden.numerics_version == _core.numerics_version
    assert golden.sha256.keys() == {"int8", "float32"}


@pytest.mark.parametrize("isa", [name for name, usable in _core.instruction_sets() if usable])
def test_every_isa_gives_the_golden_bytes(
    run: Run, monkeypatch: pytest.MonkeyPatch, isa: str
) -> None:
    monkeypatch.setenv("BGE_MICRO_ISA", isa)
    result = run("info", "--json")
    facts = json.loads(result.out)
    assert facts["isa"]["name"] == isa
    assert (result.code, facts["ok"]) == (0, True)


def test_changed_weights(run: Run, copy: Path) -> None:
    path = copy / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[5_000_000:] = bytes(byte ^ 1 for byte in data[5_000_000:5_002_000]) + data[5_002_000:]
    path.write_bytes(data)
    found = failures(run("info", "--json"))
    assert "model.safetensors" in found
    side_file = read_side_file(copy)
    assert side_file is not None
    assert f"expected {side_file.sha256['model.safetensors']}" in found["model.safetensors"]
    assert found["model.safetensors"].endswith(
        "the installation is damaged: install bge-micro again"
    )


def test_changed_vectors(run: Run, copy: Path) -> None:
    path = copy.parent / "golden.json"
    golden: dict[str, Any] = json.loads(path.read_text())
    golden["texts"][1] += "!"
    path.write_text(json.dumps(golden))
    found = failures(run("info", "--json"))
    assert found.keys() == {"int8 vectors", "float32 vectors"}
    assert f"expected {golden['sha256']['int8']}; please report it" in found["int8 vectors"]
    lines = run("info").out.splitlines()
    assert sum("FAILED: sha256 is " in line for line in lines) == 2


def test_missing_and_cut_off_files(run: Run, copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    found = failures(run("info", "--json"))
    assert list(found) == CHECKS
    assert found["tokenizer.json"].startswith("missing; the installation is damaged")
    assert found["int8 vectors"].startswith("no model: ")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bge_micro.json", None, "bge_micro.json: missing; install bge-micro again."),
        ("bge_micro.json", "{", "bge_micro.json: not valid JSON"),
        ("../golden.json", None, "golden.json: the file is missing"),
        ("../golden.json", '{"texts": []}', "golden.json: "),
    ],
)
def test_missing_records(
    run: Run, copy: Path, name: str, content: str | None, message: str
) -> None:
    path = copy / name
    path.unlink()
    if content is not None:
        path.write_text(content)
    result = run("info")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("bge-micro: error: ")
    assert message in result.err
    assert result.err.count("\n") == 1
