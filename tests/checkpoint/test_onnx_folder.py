"""Model folders whose weights are ONNX exports, read in place."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.tiny_model import CONFIG, tiny_tensors, write_tiny_model
from bge_micro import SentenceTransformer
from bge_micro.checkpoint import CheckpointError, MissingFileError
from bge_micro.cli import main
from bge_micro.convert.onnx_writer import write_onnx

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")

TEXTS = ["a b c d", "e f, g. h", "", "abcb dcb . a b c d e f g h" * 2]


def add_export(
    path: Path, pooling: str = "mean", normalize: bool = False, factor: float = 1.0
) -> Path:
    """Write the tiny model's export; `factor` scales its words, to tell exports apart."""
    path.parent.mkdir(exist_ok=True)
    tensors = dict(tiny_tensors())
    words = "embeddings.word_embeddings.weight"
    tensors[words] = tensors[words] * np.float32(factor)
    with path.open("wb") as file:
        write_onnx(file, tensors, CONFIG, pooling, normalize)
    return path


def keep_outputs(path: Path, *names: str) -> None:
    model = onnx.load(str(path))
    kept = [value for value in model.graph.output if value.name in names]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    path.write_bytes(model.SerializeToString())


def vectors(folder: Path, **options: Any) -> Any:
    return SentenceTransformer(folder, compute_type="float32", **options).encode(TEXTS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with safetensors."""
    return write_tiny_model(tmp_path / "model", normalize=True)


@pytest.mark.parametrize("place", ["onnx/model.onnx", "model.onnx", "onnx/model_quantized.onnx"])
def test_an_export_alone(folder: Path, place: str) -> None:
    expected = vectors(folder)
    (folder / "model.safetensors").unlink()
    add_export(folder / place)
    assert vectors(folder).tobytes() == expected.tobytes()
    model = SentenceTransformer(folder)
    again = pickle.loads(pickle.dumps(model))
    assert again.encode(TEXTS).tobytes() == model.encode(TEXTS).tobytes()
    assert model.space_id == again.space_id


def test_which_export(folder: Path) -> None:
    """Safetensors come first, then model.onnx; file_name chooses any."""
    expected = vectors(folder)
    add_export(folder / "onnx/model.onnx", factor=0.5)
    add_export(folder / "onnx/model_fp16.onnx", factor=0.25)
    assert vectors(folder).tobytes() == expected.tobytes()
    usual = vectors(folder, file_name="onnx/model.onnx")
    other = vectors(folder, file_name="model_fp16.onnx")
    assert len({expected.tobytes(), usual.tobytes(), other.tobytes()}) == 3
    named: dict[str, Any] = {"model_kwargs": {"file_name": "model_fp16.onnx"}}
    for backend in ("onnx", "torch", None):
        again = vectors(folder, backend=backend, **named)
        assert again.tobytes() == other.tobytes()
    for options, message in (
        ({"file_name": "onnx/model.onnx", **named}, "in model_kwargs it is 'model_fp16.onnx'"),
        ({"backend": "openvino", **named}, "backend='openvino'"),
        ({"backend": "onnx"}, "backend='onnx'.*file_name"),
        ({"model_kwargs": {"file_name": "model_fp16.onnx", "provider": "x"}}, "model_kwargs="),
        ({"model_kwargs": {"file_name": None}}, "model_kwargs="),
    ):
        with pytest.raises(ValueError, match=message):
            vectors(folder, **options)
    ids = {SentenceTransformer(folder, file_name=n).space_id for n in (None, "model_fp16.onnx")}
    assert len(ids) == 2
    (folder / "model.safetensors").unlink()
    assert vectors(folder).tobytes() == usual.tobytes()
    (folder / "onnx/model.onnx").rename(folder / "onnx/model_int8.onnx")
    with pytest.raises(MissingFileError, match=r"file_name=: onnx/model_fp16.*, onnx/model_int8"):
        vectors(folder)
    with pytest.raises(MissingFileError, match=r"has no export 'onnx/x.onnx'"):
        vectors(folder, file_name="onnx/x.onnx")
    for name in ("../x.onnx", "/x.onnx", "model.safetensors"):
        with pytest.raises(CheckpointError, match=r"expected an \.onnx file inside"):
            vectors(folder, file_name=name)


def test_the_folder_says_how_to_pool(folder: Path) -> None:
    """The export gives tokens too, so the folder decides; one with vectors only must agree."""
    expected = vectors(folder)
    path = add_export(folder / "onnx/model.onnx", "cls", normalize=False)
    assert vectors(folder, file_name="onnx/model.onnx").tobytes() == expected.tobytes()
    keep_outputs(path, "sentence_embedding")
    with pytest.raises(CheckpointError, match=r"modules\.json: pooling is 'mean' and"):
        vectors(folder, file_name="onnx/model.onnx")
    (folder / "modules.json").unlink()
    model = SentenceTransformer(folder, file_name="onnx/model.onnx", compute_type="float32")
    assert "pooling=cls;normalize=false" in model.space_id


def test_config_and_export_of_different_models(folder: Path) -> None:
    add_export(folder / "onnx/model.onnx")
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {"num_attention_heads": 2}))
    with pytest.raises(CheckpointError, match=r"model.onnx: heads is 4, but .*config.json says 2"):
        vectors(folder, file_name="onnx/model.onnx")


def test_convert_takes_such_a_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    add_export(folder / "onnx/model.onnx")
    expected = SentenceTransformer(folder).encode(TEXTS)
    assert main(["convert", str(folder), str(tmp_path / "out")]) == 0
    assert SentenceTransformer(tmp_path / "out").encode(TEXTS).tobytes() == expected.tobytes()
