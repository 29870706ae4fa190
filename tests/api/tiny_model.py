"""A small random model in a folder, as sentence-transformers would save it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from bge_micro.checkpoint import EncoderConfig
from bge_micro.tokenization import build_wordpiece_tokenizer
from random_weights import Tensors, random_weights

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh", "##b", "##c", ".", ","]
CONFIG = EncoderConfig(
    layers=2,
    hidden=64,
    heads=4,
    intermediate=128,
    vocab=len(VOCAB),
    positions=32,
    token_types=2,
    layer_norm_eps=1e-12,
)


def tiny_tensors() -> Tensors:
    """Return all tensors, random float32, small enough that softmax stays soft."""
    return random_weights(
        CONFIG,
        seed=11,
        embeddings=(0.3, 0.3, 0.3),
        norm_weights=0.3,
        norm_biases=0.3,
        linears=0.3,
        biases=0.3,
    )


def write_tiny_model(
    folder: Path,
    tensors: Tensors | None = None,
    *,
    normalize: bool = False,
    include_prompt: bool = True,
    **settings: Any,
) -> Path:
    """Write a model folder with mean pooling; return the folder.

    Args:
        folder: Where to.
        tensors: The weights; random ones if not given.
        normalize: Whether a Normalize module follows the pooling.
        include_prompt: Whether the pooling takes a prompt's tokens in.
        **settings: Further fields of config_sentence_transformers.json.
    """
    (folder / "1_Pooling").mkdir(parents=True)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {
            "idx": 1,
            "name": "1",
            "path": "1_Pooling",
            "type": "sentence_transformers.models.Pooling",
        },
    ]
    if normalize:
        (folder / "2_Normalize").mkdir()
        kind = "sentence_transformers.models.Normalize"
        modules.append({"idx": 2, "name": "2", "path": "2_Normalize", "type": kind})
    pooling = {
        "word_embedding_dimension": CONFIG.hidden,
        "pooling_mode_mean_tokens": True,
        "include_prompt": include_prompt,
    }
    for name, value in {
        "config.json": CONFIG.to_json(),
        "modules.json": modules,
        "1_Pooling/config.json": pooling,
        "config_sentence_transformers.json": {
            "prompts": {"query": "a b ", "document": "c "},
            **settings,
        },
    }.items():
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    build_wordpiece_tokenizer(VOCAB).save(str(folder / "tokenizer.json"))
    save_file(tensors or tiny_tensors(), folder / "model.safetensors")
    return folder
