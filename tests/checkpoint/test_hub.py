"""Fetching models from a hub on this machine, and working without one."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hub_server import COMMIT

from api.tiny_model import CONFIG, tiny_tensors, write_tiny_model
from bge_micro import SentenceTransformer
from bge_micro.convert.onnx_writer import write_onnx

pytest.importorskip("huggingface_hub", reason="fetching needs the extra bge-micro[hub]")

SERVER = Path(__file__).with_name("hub_server.py")
LOAD = """
import json, sys
from bge_micro import SentenceTransformer
options = json.loads(sys.argv[1])
try:
    model = SentenceTransformer(options.pop("name"), **options)
    print(json.dumps({"vector": model.encode("a b").tobytes().hex()}))
except (OSError, ValueError, ImportError) as error:
    print(json.dumps({"error": str(error), "type": type(error).__name__}))
"""
Load = Callable[..., dict[str, str]]


@dataclass
class Hub:
    address: str
    log: Path

    def requests(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the hub's files: a model, and copies of its weights that must not be fetched."""
    folder = write_tiny_model(tmp_path / "served")
    for name in ("pytorch_model.bin", "onnx/model.onnx", "README.md", "openvino/model.bin"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"not needed")
    return folder


@pytest.fixture
def hub(folder: Path, tmp_path: Path) -> Iterator[Hub]:
    log = tmp_path / "log"
    command = [sys.executable, str(SERVER), str(folder)]
    with log.open("w") as stderr:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert server.stdout is not None
        yield Hub(server.stdout.readline().strip(), log)
        server.kill()
        server.communicate()


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads a model in a process and environment of its own."""

    def run(name: str, environ: dict[str, str], **options: Any) -> dict[str, str]:
        left_out = ("HF_", "TRANSFORMERS_OFFLINE", "XDG_CACHE_HOME", "SENTENCE_TRANSFORMERS_HOME")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
        given = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_ETAG_TIMEOUT": "2", **environ}
        result = subprocess.run(
            [sys.executable, "-c", LOAD, json.dumps({"name": name, **options})],
            env={**kept, **given},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""  # no progress bars, no warnings
        answer: dict[str, str] = json.loads(result.stdout)
        return answer

    return run


@pytest.fixture
def expected(folder: Path) -> str:
    return str(SentenceTransformer(folder).encode("a b").tobytes().hex())


def snapshot(root: Path) -> Path:
    return root / "models--org--tiny-model/snapshots" / COMMIT


def test_fetched_once_and_only_what_is_needed(
    hub: Hub, load: Load, expected: str, tmp_path: Path
) -> None:
    environ = {"HF_ENDPOINT": hub.address}
    assert load("org/tiny-model", environ) == {"vector": expected}
    files = snapshot(tmp_path / "hf/hub").rglob("*")
    names = {path.relative_to(snapshot(tmp_path / "hf/hub")).as_posix() for path in files}
    assert {"model.safetensors", "modules.json", "1_Pooling/config.json"} <= names
    assert not {"pytorch_model.bin", "onnx/model.onnx", "openvino/model.bin", "README.md"} & names
    fetched = [line for line in hub.requests() if line.startswith("GET") and "resolve" in line]
    assert load("org/tiny-model", environ) == {"vector": expected}
    again = [line for line in hub.requests() if line.startswith("GET") and "resolve" in line]
    assert again == fetched
    # A commit never changes, so the hub gets no request about one in the cache.
    before = hub.requests()
    assert load("org/tiny-model", environ, revision=COMMIT) == {"vector": expected}
    assert hub.requests() == before


@pytest.mark.parametrize("offline", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "local_files_only"])
def test_offline(hub: Hub, load: Load, expected: str, offline: str) -> None:
    environ = {"HF_ENDPOINT": hub.address}
    options: dict[str, Any] = {}
    cut_off = dict(environ)
    if offline == "local_files_only":
        options["local_files_only"] = True
    else:
        cut_off[offline] = "1"
    answer = load("org/tiny-model", cut_off, **options)
    assert answer["type"] == "MissingFileError"
    assert "hf download org/tiny-model" in answer["error"]
    assert hub.requests() == []
    load("org/tiny-model", environ)
    before = hub.requests()
    assert load("org/tiny-model", cut_off, **options) == {"vector": expected}
    assert hub.requests() == before


def test_a_hub_that_is_away(hub: Hub, load: Load, expected: str) -> None:
    away = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    answer = load("org/tiny-model", away)
    assert "hf download" in answer["error"]
    load("org/tiny-model", {"HF_ENDPOINT": hub.address})
    assert load("org/tiny-model", away) == {"vector": expected}


def test_where_it_goes(hub: Hub, load: Load, tmp_path: Path) -> None:
    environ = {"HF_ENDPOINT": hub.address}
    places = ["cache_folder", "SENTENCE_TRANSFORMERS_HOME", "HF_HUB_CACHE"]
    for number, place in enumerate(places):
        root = tmp_path / place
        lower = {name: str(tmp_path / name) for name in places[number:] if name.isupper()}
        options = {"cache_folder": str(root)} if place == "cache_folder" else {}
        load("org/tiny-model", {**environ, **lower}, **options)
        assert (snapshot(root) / "model.safetensors").exists()


def test_plain_folders_are_noted_as_such(
    hub: Hub, load: Load, folder: Path, tmp_path: Path
) -> None:
    (folder / "modules.json").unlink()
    environ = {"HF_ENDPOINT": hub.address}
    found = load("org/tiny-model", environ)
    assert "vector" in found
    marker = tmp_path / "hf/hub/models--org--tiny-model/.no_exist" / COMMIT / "modules.json"
    assert marker.exists()
    assert load("org/tiny-model", {**environ, "HF_HUB_OFFLINE": "1"}) == found


def test_revisions_and_tokens(hub: Hub, load: Load, expected: str) -> None:
    environ = {"HF_ENDPOINT": hub.address}
    assert load("org/tiny-model", environ, revision="v1") == {"vector": expected}
    assert "no such branch" in load("org/tiny-model", environ, revision="v9")["error"]
    assert "no such model, or it is private" in load("org/absent", environ)["error"]
    assert "token=" in load("org/private", environ)["error"]
    assert load("org/private", environ, token="secret") == {"vector": expected}
    assert load("org/private", {**environ, "HF_TOKEN": "secret"}) == {"vector": expected}


def test_the_bundled_model_never_asks(hub: Hub, load: Load) -> None:
    for name in ("bge-micro-v2", "TaylorAI/bge-micro-v2"):
        assert "vector" in load(name, {"HF_ENDPOINT": hub.address})
    assert hub.requests() == []


def test_tokens_are_not_pickled(tiny: Path) -> None:
    model = SentenceTransformer(tiny, token="secret")
    assert b"secret" not in pickle.dumps(model)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny")


def fetched(hub: Hub) -> set[str]:
    lines = [line for line in hub.requests() if line.startswith("GET") and "/resolve/" in line]
    return {line.partition("/resolve/")[2].partition("/")[2] for line in lines}


def test_a_model_that_cannot_run_is_refused_before_its_weights(
    hub: Hub, load: Load, folder: Path
) -> None:
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {"model_type": "llama"}))
    answer = load("org/tiny-model", {"HF_ENDPOINT": hub.address})
    assert answer["type"] == "CheckpointError"
    assert "model_type is 'llama'" in answer["error"]
    assert "config.json" in fetched(hub)
    assert "model.safetensors" not in fetched(hub)


def test_only_weights_that_are_never_read(hub: Hub, load: Load, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "onnx/model.onnx").unlink()
    answer = load("org/tiny-model", {"HF_ENDPOINT": hub.address})
    assert "no weights in safetensors or ONNX (it has pytorch_model.bin" in answer["error"]
    assert "save_pretrained" in answer["error"]
    assert "hf download" not in answer["error"]
    assert "pytorch_model.bin" not in fetched(hub)


@pytest.mark.parametrize("name", [None, "onnx/model.onnx", "model_other.onnx"])
def test_exports_are_fetched_if_there_is_nothing_else_or_if_named(
    hub: Hub, load: Load, folder: Path, name: str | None
) -> None:
    pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")
    for file in ("model.onnx", "model_other.onnx"):
        with (folder / "onnx" / file).open("wb") as stream:
            write_onnx(stream, tiny_tensors(), CONFIG, "mean", normalize=False)
    if name is None:
        (folder / "model.safetensors").unlink()
    environ = {"HF_ENDPOINT": hub.address}
    options = {"file_name": name, "compute_type": "float32"}
    found = load("org/tiny-model", environ, **options)
    file_name = name or "onnx/model.onnx"
    local = SentenceTransformer(folder, compute_type="float32", file_name=file_name)
    assert found == {"vector": local.encode("a b").tobytes().hex()}
    wanted = "onnx/model_other.onnx" if name == "model_other.onnx" else "onnx/model.onnx"
    assert [each for each in fetched(hub) if each.endswith(".onnx")] == [wanted]
    assert "model.safetensors" not in fetched(hub)
    assert load("org/tiny-model", {**environ, "HF_HUB_OFFLINE": "1"}, **options) == found


def test_a_snapshot_without_modules_json_gets_advice_that_works(
    hub: Hub, load: Load, folder: Path, tmp_path: Path
) -> None:
    """As `hf download` leaves it: nobody has noted that the hub has no modules.json."""
    for path in (folder / "modules.json", folder / "1_Pooling/config.json"):
        path.unlink()
    environ = {"HF_ENDPOINT": hub.address}
    expected = load("org/tiny-model", environ)
    shutil.rmtree(tmp_path / "hf/hub/models--org--tiny-model/.no_exist")
    answer = load("org/tiny-model", {**environ, "HF_HUB_OFFLINE": "1"})
    advised = str(snapshot(tmp_path / "hf/hub"))
    assert f"give the folder itself, {advised!r}" in answer["error"]
    assert load(advised, environ) == expected


def test_convert_takes_a_name(hub: Hub, folder: Path, tmp_path: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    environ |= {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf")}
    out = str(tmp_path / "out")
    command = [sys.executable, "-m", "bge_micro", "convert", "org/tiny-model", out]
    result = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    expected = SentenceTransformer(folder).encode("a b")
    assert SentenceTransformer(tmp_path / "out").encode("a b").tobytes() == expected.tobytes()
    recorded = json.loads((tmp_path / "out/bge_micro.json").read_text())
    assert recorded["source"]["repo_id"] == "org/tiny-model"
