"""Small models with random weights that are hard on arithmetic, and token ids for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from bge_micro.checkpoint import EncoderConfig
from bge_micro.checkpoint.tensors import all_linears
from bge_micro.quantize import quantize_checkpoint
from invariance.core_model import CoreModel, Ids
from random_weights import Tensors, norm_names, random_weights

CONFIG = EncoderConfig(
    layers=2,
    hidden=192,
    heads=4,
    intermediate=256,
    vocab=40,
    positions=100,
    token_types=2,
    layer_norm_eps=1e-12,
)
NORMS = norm_names(CONFIG)
KINDS = (
    "ordinary",
    "saturated codes",
    "large outliers",
    "subnormal scores",
    "subnormal results",
    "input factors",
)


def random_tensors(kind: str) -> Tensors:
    """Make the weights of one kind, float32 except where the kind needs int8."""
    seed = KINDS.index(kind)
    tensors = random_weights(CONFIG, seed, norm_weights=0.25, norm_biases=1.0, biases=1.0)
    _make_hard(tensors, kind, np.random.default_rng(seed))
    return tensors


def _make_hard(tensors: Tensors, kind: str, rng: np.random.Generator) -> None:
    names = [linear.name for linear in all_linears(CONFIG)]
    if kind == "saturated codes":
        # Every weight at an end of its range, and inputs of which most lie at an end of theirs.
        for name in names:
            signs = np.sign(tensors[f"{name}.weight"])
            tensors[f"{name}.weight"] = np.where(signs < 0, -127, 127).astype(np.int8)
            scale = np.full(len(signs), 1 / (127 * np.sqrt(signs.shape[1])), np.float32)
            tensors[f"{name}.weight_scale"] = scale
        for norm in NORMS:
            bias = tensors[f"{norm}.bias"]
            tensors[f"{norm}.bias"] = (np.sign(bias) * 50).astype(np.float32)
    elif kind == "large outliers":
        for norm in NORMS:
            tensors[f"{norm}.weight"][rng.integers(CONFIG.hidden, size=2)] = (3e4, -1e3)
        for name in names:
            tensors[f"{name}.weight"][3, 5] = -200
        tensors["embeddings.word_embeddings.weight"][::3, 7] = 1e6
    elif kind == "subnormal scores":
        for name in names:
            if name.endswith(("query", "key")):
                tensors[f"{name}.weight"] *= np.float32(1e-20)
                tensors[f"{name}.bias"] *= np.float32(1e-20)
    elif kind == "subnormal results":
        tensors[f"{NORMS[-1]}.weight"] *= np.float32(1e-39)
        tensors[f"{NORMS[-1]}.bias"] *= np.float32(1e-39)
        for name in names:
            tensors[f"{name}.weight"][::2] *= np.float32(1e-20)
            tensors[f"{name}.bias"][::2] *= np.float32(1e-39)
    elif kind == "input factors":
        tensors.update(quantize_checkpoint(tensors, CONFIG))
        for linear in all_linears(CONFIG):
            factor = np.exp2(rng.uniform(-6, 6, linear.in_features)).astype(np.float32)
            if linear.name.endswith(("key", "value")):  # these share the query's input
                query = linear.name.rpartition(".")[0] + ".query"
                factor = tensors[f"{query}.input_factor"]
            tensors[f"{linear.name}.input_factor"] = factor


def random_model(kind: str, compute_type: str, isa: str = "") -> CoreModel:
    """Return the core's model with weights of one kind."""
    return CoreModel(CONFIG, random_tensors(kind), compute_type, isa)


def random_texts() -> list[Ids]:
    """Return token ids of texts with awkward lengths."""
    rng = np.random.default_rng(9)
    lengths = (1, 17, 2, 49, 3, 15, 16, 33, 97, 4)
    return [rng.integers(CONFIG.vocab, size=length, dtype=np.int32) for length in lengths]


def write_folder(folder: Path, tensors: Tensors) -> list[str]:
    """Write a model folder with a tokenizer of letters; return texts that it knows."""
    letters = [chr(ord("a") + i % 26) * (1 + i // 26) for i in range(CONFIG.vocab - 5)]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n", "utf-8")
    (folder / "config.json").write_text(json.dumps(CONFIG.to_json()), "utf-8")
    save_file(tensors, folder / "model.safetensors")
    return ["", *(" ".join(vocab[id] for id in text) for text in random_texts())]
