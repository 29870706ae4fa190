"""Folders with Dense modules after the pooling: read, saved, and refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bge_micro import SentenceTransformer
from bge_micro.checkpoint import CheckpointError, MissingFileError, load_folder
from family_models import KINDS, TEXTS, family_weights, write_family_folder

PATHS = ("", "1_Pooling", "2_Dense", "3_Dense", "4_Normalize")
WIDTHS = {"2_Dense": (64, 40), "3_Dense": (40, 100)}
TANH = "torch.nn.modules.activation.Tanh"


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a model with two Dense modules and Normalize."""
    kind = KINDS["bert"]
    folder = tmp_path / "model"
    write_family_folder(folder, kind, family_weights(kind))
    kinds = [path.partition("_")[2] or "Transformer" for path in PATHS]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
        for i, (path, name) in enumerate(zip(PATHS, kinds, strict=True))
    ]
    write(folder / "modules.json", modules)
    write(folder / "1_Pooling/config.json", {"word_embedding_dimension": 64})
    rng = np.random.default_rng(1)
    for path, (width, out) in WIDTHS.items():
        last = path == "3_Dense"
        config = {"in_features": width, "out_features": out, "bias": not last}
        activation = "torch.nn.modules.linear.Identity" if last else TANH
        write(folder / path / "config.json", {**config, "activation_function": activation})
        tensors = {"linear.weight": rng.standard_normal((out, width)).astype(np.float32) / 8}
        if not last:
            tensors["linear.bias"] = rng.standard_normal(out).astype(np.float32)
        save_file(tensors, folder / path / "model.safetensors")
    return folder


def test_vectors(folder: Path) -> None:
    model = SentenceTransformer(folder, compute_type="float32")
    assert model.get_embedding_dimension() == 100
    first, second = load_folder(folder).dense
    modules = json.loads((folder / "modules.json").read_text())
    write(folder / "modules.json", modules[:2])
    pooled = SentenceTransformer(folder, compute_type="float32").encode(TEXTS)
    assert first.bias is not None
    expected = np.tanh(pooled @ first.weight.T + first.bias) @ second.weight.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-6)
    cut = model.encode(TEXTS, truncate_dim=70)  # after Normalize
    np.testing.assert_array_equal(cut, model.encode(TEXTS)[:, :70])
    tokens = model.encode(TEXTS[0], output_value="token_embeddings")
    assert tokens.shape == (3, 64)


@pytest.mark.parametrize("compute_type", ["float32", "int8"])
def test_saved(folder: Path, tmp_path: Path, compute_type: Any) -> None:
    model = SentenceTransformer(folder, compute_type=compute_type)
    model.save_pretrained(tmp_path / "saved", compute_type=compute_type)
    again = SentenceTransformer(tmp_path / "saved", compute_type=compute_type, verify=True)
    assert again.encode(TEXTS).tobytes() == model.encode(TEXTS).tobytes()
    (tmp_path / "saved/3_Dense/model.safetensors").write_bytes(
        (folder / "2_Dense/model.safetensors").read_bytes()
    )
    with pytest.raises(CheckpointError, match=r"3_Dense/model\.safetensors"):
        SentenceTransformer(tmp_path / "saved", verify=True)


def test_the_space_names_the_dense_weights(folder: Path) -> None:
    before = SentenceTransformer(folder).space_id
    tensors = {"linear.weight": np.ones((100, 40), np.float32)}
    save_file(tensors, folder / "3_Dense/model.safetensors")
    assert SentenceTransformer(folder).space_id != before


def test_onnx_export(folder: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs pip install onnxruntime")
    from bge_micro.convert.export import export_onnx

    model = SentenceTransformer(folder, compute_type="float32")
    session = runtime.InferenceSession(export_onnx(load_folder(folder), tmp_path / "model.onnx"))
    ids = model.tokenize(TEXTS[:1])["input_ids"]
    feed = {"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0}
    (found,) = session.run(["sentence_embedding"], feed)
    np.testing.assert_allclose(found, model.encode(TEXTS[:1]), atol=2e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"activation_function": "torch.nn.modules.activation.SiLU"}, "activation_function is"),
        ({"activation_function": None}, "activation_function is None"),
        ({"in_features": 63}, "in_features is 63, but the module before gives 64"),
        ({"out_features": 0}, "out_features is 0"),
        ({"out_features": 39}, r"2_Dense/model\.safetensors, tensor 'linear\.weight'"),
        ({"module_input_name": "token_embeddings"}, "module_input_name is 'token_embeddings'"),
    ],
)
def test_other_settings_are_refused(folder: Path, fields: dict[str, Any], message: str) -> None:
    path = folder / "2_Dense/config.json"
    write(path, json.loads(path.read_text()) | fields)
    with pytest.raises(CheckpointError, match=message):
        load_folder(folder)


def test_missing_and_damaged_weights(folder: Path) -> None:
    path = folder / "2_Dense/model.safetensors"
    weight = np.full((40, 64), np.nan, np.float32)
    save_file({"linear.weight": weight, "linear.bias": np.zeros(40, np.float32)}, path)
    with pytest.raises(CheckpointError, match="holds NaN or infinity"):
        load_folder(folder)
    save_file({"linear.weight": np.zeros((40, 64), np.float32)}, path)
    with pytest.raises(CheckpointError, match=r"'linear\.bias' is missing"):
        load_folder(folder)
    path.unlink()
    with pytest.raises(MissingFileError, match=r"2_Dense/model\.safetensors"):
        load_folder(folder)
