"""Checksums: those that a folder records are compared, and a space belongs to loaded bytes."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from api.tiny_model import write_tiny_model
from bge_micro import CheckpointError, SentenceTransformer
from bge_micro.checkpoint import load_folder
from bge_micro.checkpoint.side_file import file_sha256
from bge_micro.cli import main
from bge_micro.convert import convert_folder

WEIGHTS = "model.safetensors"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Return a folder made by others, without them."""
    return write_tiny_model(tmp_path / "theirs")


@pytest.fixture
def ours(theirs: Path, tmp_path: Path) -> Path:
    """Return a folder of our own, with recorded checksums."""
    return convert_folder(theirs, tmp_path / "ours", compute_type="float32")


def other_weights(path: Path) -> bytes:
    """Return a file like this one with other numbers."""
    tensors = {name: array * np.float32(1.25) for name, array in load_file(path).items()}
    save_file(tensors, path.with_suffix(".other"), metadata={"format": "pt"})
    data = path.with_suffix(".other").read_bytes()
    path.with_suffix(".other").unlink()
    return data


def replace(path: Path, data: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)


def overwrite(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def remove(path: Path, data: bytes) -> None:
    path.unlink()


@pytest.mark.skipif(sys.platform == "win32", reason="mapped files cannot be replaced there")
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("change", [replace, overwrite, remove])
def test_a_space_belongs_to_the_bytes_that_were_loaded(
    ours: Path, change: Callable[[Path, bytes], None], mapped: bool
) -> None:
    expected = f"weights={file_sha256(ours / WEIGHTS)[:16]};"
    model = SentenceTransformer(ours, compute_type="float32", mmap=mapped)
    pickled = pickle.dumps(model)
    before = model.encode("a b")
    os.utime(ours / WEIGHTS, ns=(0, 0))  # what is as old as the clock's step shows no change
    model = SentenceTransformer(ours, compute_type="float32", mmap=mapped)
    change(ours / WEIGHTS, other_weights(ours / WEIGHTS))
    if mapped and change is overwrite:
        with pytest.raises(CheckpointError, match="was written to while it was mapped"):
            _ = model.space_id
        return
    assert model.space_id.startswith(expected)
    assert np.array_equal(model.encode("a b"), before)
    if change is not remove:
        assert not pickle.loads(pickled).space_id.startswith(expected)  # it loads what is there now


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_checksums_of_halves_that_are_widened(tiny_folder: Path, dtype: type) -> None:
    path = tiny_folder / WEIGHTS
    save_file({name: array.astype(dtype) for name, array in load_file(path).items()}, path)
    expected = file_sha256(path)
    checkpoint = load_folder(tiny_folder)
    path.unlink()
    assert checkpoint.weights_sha256() == expected
    # Of halves nothing but the checksum is kept; float32 arrays are views of the file's bytes.
    assert (checkpoint.weight_files[0].data.nbytes == 0) == (dtype is np.float16)


@pytest.mark.parametrize("mapped", [False, True])
def test_verify_accepts_what_was_written(ours: Path, mapped: bool) -> None:
    model = SentenceTransformer(ours, verify=True, mmap=mapped)
    assert pickle.loads(pickle.dumps(model)).encode("a").shape == (64,)
    assert SentenceTransformer(verify=True).encode("a").shape == (384,)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


def change_tokenizer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


@pytest.mark.parametrize(
    ("name", "change"), [(WEIGHTS, flip), ("tokenizer.json", change_tokenizer)]
)
def test_a_changed_file_is_found(
    ours: Path, name: str, change: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    expected = file_sha256(ours / name)
    change(ours / name)
    SentenceTransformer(ours)  # a start does not pay for it
    found = file_sha256(ours / name)
    with pytest.raises(CheckpointError) as raised:
        SentenceTransformer(ours, verify=True)
    assert f"{ours / name}: sha256 is {found}, expected {expected}" in str(raised.value)
    assert main(["info", str(ours)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "FAILED" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"{name:20}FAILED: sha256 is {found}, expected {expected}; the file")
    assert main(["info", "--json", str(ours)]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in facts["checks"] if not check["ok"]] == [name]


def test_info_of_a_folder(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(ours)]) == 0
    fields = {line[:20].strip(): line[20:] for line in capsys.readouterr().out.splitlines()}
    assert fields[WEIGHTS] == f"ok: {file_sha256(ours / WEIGHTS)}"
    assert fields["tokenizer.json"] == f"ok: {file_sha256(ours / 'tokenizer.json')}"
    assert fields["loading"] == "ok: int8"
    assert fields["space of int8"] == SentenceTransformer(ours).space_id


def test_info_of_a_folder_without_a_file(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (ours / "tokenizer.json").unlink()
    assert main(["info", str(ours)]) == 1
    out = capsys.readouterr().out
    assert f"{'tokenizer.json':20}FAILED: missing" in out
    assert f"{'loading':20}FAILED: " in out


def test_folders_of_others(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckpointError, match=r"has no bge_micro\.json"):
        SentenceTransformer(theirs, verify=True)
    assert main(["info", str(theirs)]) == 0
    assert "made by others, so no checksums are recorded" in capsys.readouterr().out
    assert main(["info", str(theirs / "none")]) == 1
    assert "expected a model folder" in capsys.readouterr().out


@pytest.mark.parametrize("names", [[], [WEIGHTS], ["tokenizer.json"]])
def test_what_is_not_recorded_does_not_pass(ours: Path, names: list[str]) -> None:
    facts = json.loads((ours / "bge_micro.json").read_text())
    facts["sha256"] = {name: facts["sha256"][name] for name in names}
    (ours / "bge_micro.json").write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match=r"bge_micro\.json records none"):
        SentenceTransformer(ours, verify=True)
    assert main(["info", str(ours)]) == 1


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b/c", "a/..", "..", ""])
def test_a_record_names_files_of_its_folder_only(ours: Path, name: str) -> None:
    facts = json.loads((ours / "bge_micro.json").read_text())
    facts["sha256"][name] = "0" * 64
    (ours / "bge_micro.json").write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match="expected names of files in its folder"):
        load_folder(ours)
