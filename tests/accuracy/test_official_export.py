"""The official 8-bit export, no longer the bundled model: its weights, and what they compute.

Each test runs on the export where it is at hand, and everywhere on a stand-in of its form.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import SentenceTransformer
from bge_micro.checkpoint import load_folder
from bge_micro.checkpoint.side_file import file_sha256
from bge_micro.checkpoint.tensors import all_linears
from bge_micro.convert.onnx_reader import read_onnx
from bge_micro.quantize import dequantize_checkpoint
from bge_micro.search.space import OFFICIAL_WEIGHTS
from official_export import KINDS, Export, make_export
from reference import encode

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")


@pytest.fixture(scope="module", params=KINDS)
def export(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return make_export(request.param, tmp_path_factory.mktemp("export"))


def test_weights_are_the_exports(export: Export) -> None:
    bundle = load_folder(export.folder)
    stored = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(str(export.file)).graph.initializer
    }
    floats = dequantize_checkpoint(bundle.tensors, bundle.config)
    quantised = read_onnx(export.file).quantised
    assert len(quantised) == len(list(all_linears(bundle.config))) + 3
    integers = {array.tobytes() for array in stored.values() if array.dtype.itemsize == 1}
    for linear in all_linears(bundle.config):
        name = f"{linear.name}.weight"
        assert bundle.tensors[name].dtype == np.int8
        assert np.ascontiguousarray(bundle.tensors[name].T).tobytes() in integers, name
        expected = quantised[name].integers * quantised[name].scale[:, np.newaxis]
        assert floats[name].tobytes() == expected.astype(np.float32).tobytes()
    for kind in ("word", "position", "token_type"):
        name = f"embeddings.{kind}_embeddings.weight"
        centred = stored[f"{name}_quantized"].astype(np.float32) - stored[f"{name}_zero_point"]
        found = bundle.tensors[name].astype(np.float32)
        if bundle.tensors[name].dtype == np.int8:
            found = found * bundle.tensors[f"embeddings.{kind}_embeddings.scale"]
        assert found.tobytes() == (centred * stored[f"{name}_scale"]).tobytes()
    for name, array in stored.items():
        if name.endswith((".bias", "LayerNorm.weight")) and name in bundle.tensors:
            assert bundle.tensors[name].tobytes() == array.tobytes()


def test_the_folder_is_the_one_that_was_bundled_before(tmp_path: Path) -> None:
    """Space ids name its weights, and messages about old vectors know them."""
    export = make_export("official", tmp_path)
    assert file_sha256(export.folder / "model.safetensors").startswith(OFFICIAL_WEIGHTS)


@pytest.mark.parametrize(("compute_type", "least"), [("float32", 1 - 1e-10), ("int8", 0.995)])
def test_vectors_are_those_of_float64(export: Export, compute_type: str, least: float) -> None:
    checkpoint = load_folder(export.folder)
    model = SentenceTransformer(export.folder, compute_type=compute_type)
    ids = [model.tokenizer.encode(text).ids for text in export.texts]
    wanted = np.array([encode(checkpoint.tensors, row, checkpoint.config).vector for row in ids])
    assert cosines(model.encode(export.texts), wanted).min() > least


def test_vectors_are_about_those_of_onnx_runtime(export: Export) -> None:
    """Theirs take one scale for a whole batch and let 16-bit sums saturate on some CPUs."""
    runtime = pytest.importorskip("onnxruntime", reason="the reference: pip install onnxruntime")
    model = SentenceTransformer(export.folder)
    session = runtime.InferenceSession(str(export.file), providers=["CPUExecutionProvider"])
    for text in export.texts:
        feeds = {name: array.astype(np.int64) for name, array in model.tokenize([text]).items()}
        tokens = session.run(["last_hidden_state"], feeds)[0][0]
        assert cosines(model.encode([text]), tokens.mean(axis=0, keepdims=True)).min() > 0.9


def cosines(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the cosine of each pair of rows."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    result: NDArray[np.float64] = (a * b).sum(axis=1) / lengths
    return result
