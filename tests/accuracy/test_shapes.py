"""Random models of the family's shapes, loaded from folders, against float64 arithmetic."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

import reference
from bge_micro import SentenceTransformer
from bge_micro.checkpoint import EncoderConfig
from bge_micro.quantize import quantize_checkpoint
from bge_micro.tokenization import build_wordpiece_tokenizer
from core.models import Sizes, random_tensors

WORDS = [f"w{n}" for n in range(50)]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
POOLINGS = ("mean", "cls", "max", "mean_sqrt_len_tokens")
SHAPES = {
    "bge-micro, paraphrase-MiniLM-L3": (3, 384, 12, 1536),
    "all-MiniLM-L6, gte-tiny, arctic-embed-xs": (6, 384, 12, 1536),
    "all-MiniLM-L12, bge-small, e5-small, gte-small": (12, 384, 12, 1536),
    "BERT-base": (12, 768, 12, 3072),
}


def shapes() -> list[Any]:
    slow = pytest.mark.slow
    return [pytest.param(n, marks=slow if "base" in n else ()) for n in SHAPES]


def write_model(folder: Path, sizes: Sizes, tensors: dict[str, NDArray[Any]]) -> EncoderConfig:
    """Write a folder without its pooling; return the config."""
    config = EncoderConfig(**asdict(sizes))
    kinds = ("Transformer", "Pooling")
    modules = [
        {
            "idx": n,
            "name": str(n),
            "path": "1_Pooling" if n else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for n, kind in enumerate(kinds)
    ]
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config.json").write_text(json.dumps(config.to_json()))
    build_wordpiece_tokenizer(VOCAB).save(str(folder / "tokenizer.json"))
    save_file(tensors, folder / "model.safetensors")
    return config


@pytest.mark.parametrize("name", shapes())
def test_a_model_of_this_shape(name: str, tmp_path: Path) -> None:
    layers, hidden, heads, intermediate = SHAPES[name]
    sizes = Sizes(layers, hidden, heads, intermediate, vocab=len(VOCAB), positions=64)
    tensors = random_tensors(sizes, int8=False)
    config = write_model(tmp_path / "model", sizes, tensors)
    eight = dict(quantize_checkpoint(tensors, config))
    texts = [" ".join(WORDS[i : i + n]) for i, n in ((0, 1), (5, 9), (20, 30))]
    ids = [[2, *(VOCAB.index(word) for word in text.split()), 3] for text in texts]
    last = {
        kind: [reference.encode(t, row, config).token_embeddings for row in ids]
        for kind, t in (("float32", tensors), ("int8", eight))
    }
    # Pooling does not depend on the number of layers, and each costs two loads of the model.
    for pooling in POOLINGS if layers == 3 else POOLINGS[:2]:
        settings = {"word_embedding_dimension": hidden, "pooling_mode": pooling}
        (tmp_path / "model/1_Pooling/config.json").write_text(json.dumps(settings))
        for kind, least in (("float32", 1 - 1e-10), ("int8", 0.998)):
            found = SentenceTransformer(tmp_path / "model", compute_type=kind).encode(texts)
            for vector, tokens in zip(found.astype(np.float64), last[kind], strict=True):
                expected = reference.pool(tokens, pooling)
                lengths = np.linalg.norm(vector) * np.linalg.norm(expected)
                assert vector @ expected / lengths >= least, (pooling, kind)
                if kind == "float32":
                    bound = 2e-5 * np.abs(expected).max()
                    np.testing.assert_allclose(vector, expected, atol=bound)
