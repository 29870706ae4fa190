"""`bge-micro embed`: what is written, bit by bit, and that it is whole or not there."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from bge_micro.checkpoint import bundled_folder
from bge_micro.vector_files import FORMATS, Block, Layout

from .conftest import Run

TEXTS = ["one", "two words", "", "drei", "Вот пять", "a longer text of several words"]

OPTIONS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["--normalize"], {"normalize_embeddings": True}),
    (["--truncate-dim", "60"], {"truncate_dim": 60}),
    (["--precision", "int8"], {"precision": "int8"}),
    (["--precision", "uint8"], {"precision": "uint8"}),
    (
        ["--precision", "binary", "--truncate-dim", "60"],
        {"precision": "binary", "truncate_dim": 60},
    ),
    (["--precision", "ubinary"], {"precision": "ubinary"}),
]


@pytest.mark.parametrize(("argv", "options"), OPTIONS)
def test_forms(
    run: Run, tmp_path: Path, model: SentenceTransformer, argv: list[str], options: dict[str, Any]
) -> None:
    expected = model.encode(TEXTS, **options)
    for name in ("v.npy", "v.npz", "v.jsonl"):
        result = run("embed", *TEXTS, *argv, "--batch-size", "4", "-o", name)
        assert (result.code, result.out, result.err) == (0, "", "")
    array = np.load(tmp_path / "v.npy")
    assert (array.dtype, array.tobytes()) == (expected.dtype, expected.tobytes())
    assert array.shape == expected.shape
    with np.load(tmp_path / "v.npz") as archive:
        assert sorted(archive) == ["embeddings", "space_id"]
        assert archive["embeddings"].tobytes() == expected.tobytes()
        assert archive["embeddings"].shape == expected.shape
        assert str(archive["space_id"]) == model.space_id_of(**options)
    rows = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    assert [row["index"] for row in rows] == list(range(len(TEXTS)))
    assert {tuple(row) for row in rows} == {("index", "embedding")}
    written = np.array([row["embedding"] for row in rows])
    assert written.astype(expected.dtype).tobytes() == expected.tobytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.jsonl", "v.npy", "v.npz"]


@pytest.mark.parametrize("name", ["v.npy", "v.npz", "v.jsonl"])
def test_nothing_in_nothing_out(run: Run, tmp_path: Path, name: str) -> None:
    result = run("embed", "-", "--precision", "binary", "-o", name)
    assert (result.code, result.err) == (0, "")
    if name == "v.jsonl":
        assert (tmp_path / name).read_bytes() == b""
        return
    loaded = np.load(tmp_path / name)
    array = loaded if name == "v.npy" else loaded["embeddings"]
    assert (array.shape, array.dtype) == ((0, 48), np.int8)
    if name == "v.npz":
        loaded.close()


def test_format_wins_over_ending(run: Run, tmp_path: Path) -> None:
    assert run("embed", "a", "-o", "v.bin", "--format", "npy").code == 0
    assert np.load(tmp_path / "v.bin").shape == (1, 384)
    assert run("embed", "a", "-o", "v.npy", "--format", "jsonl").code == 0
    assert json.loads((tmp_path / "v.npy").read_text())["index"] == 0


def test_model_and_arithmetic(run: Run, tmp_path: Path) -> None:
    folder = str(bundled_folder())
    options = ("--model", folder, "--compute-type", "float32", "--threads", "1")
    assert run("embed", *TEXTS, *options, "-o", "v.npy").code == 0
    expected = SentenceTransformer(compute_type="float32").encode(TEXTS)
    assert np.load(tmp_path / "v.npy").tobytes() == expected.tobytes()


def test_jsonl_gives_every_bit_back(tmp_path: Path) -> None:
    bits = np.random.default_rng(3).integers(0, 2**32, 60_000, np.uint32).view(np.float32)
    special = np.array([0.0, -0.0, 1.0, -3.0, 1e-45, 3.4028235e38, 1e-38, 16777216.0], np.float32)
    values = np.concatenate([special, bits[np.isfinite(bits)]])[None]
    path = tmp_path / "v.jsonl"
    with path.open("wb") as file:
        jsonl = FORMATS["jsonl"](Layout(values.dtype, values.shape[1], "", with_text=True))
        jsonl.append(file, Block([5], ['a"\n\ud800ä'], values))
    line = path.read_bytes()
    assert line.isascii()
    assert line.count(b"\n") == 1
    row = json.loads(line)
    assert (row["index"], row["text"]) == (5, 'a"\n\ud800ä')
    assert {type(value) for value in row["embedding"]} == {float}
    assert np.array(row["embedding"], np.float32).tobytes() == values.tobytes()


@pytest.mark.parametrize("name", ["v.npy", "v.npz", "v.jsonl"])
def test_failure_leaves_the_old_file(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"old")
    data = b"good\n" * 5 + b"\xff\n"
    result = run("embed", "-", "--batch-size", "2", "-o", name, stdin=data)
    assert result.code == 1
    assert "standard input: line 6 is not UTF-8" in result.err
    assert (tmp_path / name).read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and links")
def test_permissions_links_and_devices(run: Run, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        assert run("embed", "a", "-o", "v.npy").code == 0
    finally:
        os.umask(before)
    target = tmp_path / "v.npy"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    target.chmod(0o600)
    (tmp_path / "link.npy").symlink_to(target)
    assert run("embed", "a", "b", "-o", "link.npy").code == 0
    assert (tmp_path / "link.npy").is_symlink()
    assert np.load(target).shape == (2, 384)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    result = run("embed", "a", "-o", os.devnull, "--format", "npy")
    assert result.code == 1
    assert "is a pipe or device, expected the name of a file to write." in result.err
    assert not Path(os.devnull).is_file()
