"""Small models of every family with random weights, as their own files have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save_file

from bge_micro.checkpoint import EncoderConfig
from bge_micro.checkpoint.families import FAMILIES, Family
from bge_micro.checkpoint.tensors import TOKEN_TYPES
from bge_micro.tokenization import build_wordpiece_tokenizer
from random_weights import Tensors, random_weights

VOCAB = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]", *(f"w{n}" for n in range(50))]
PADDING_ID = VOCAB.index("[PAD]")
# A padding token is a text's own here: positions leave it out.
TEXTS = [
    "w1",
    "",
    "w3 [PAD] w4 [PAD] [PAD] w5",
    " ".join(f"w{n * n % 50}" for n in range(25)),
    "[PAD]",
]


class Kind(NamedTuple):
    """One kind of model.

    Attributes:
        family: Its family.
        fields: What its config.json has beside the sizes.
        names: The family's names of the sizes.
        config: What the config is read as.
    """

    family: Family
    fields: dict[str, Any]
    names: dict[str, str]
    config: EncoderConfig


_SIZES = EncoderConfig(
    layers=2,
    hidden=64,
    heads=4,
    intermediate=128,
    vocab=len(VOCAB),
    positions=48,
    token_types=2,
    layer_norm_eps=1e-12,
)
_BERT_NAMES = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "intermediate": "intermediate_size",
    "vocab": "vocab_size",
    "positions": "max_position_embeddings",
    "token_types": "type_vocab_size",
    "layer_norm_eps": "layer_norm_eps",
}
_DISTILBERT_NAMES = {
    "layers": "n_layers",
    "hidden": "dim",
    "heads": "n_heads",
    "intermediate": "hidden_dim",
    "vocab": "vocab_size",
    "positions": "max_position_embeddings",
}
_BY_TYPE = {name: family for family in FAMILIES for name in family.model_types}


def _kind(
    model_type: str,
    config: EncoderConfig,
    names: dict[str, str] = _BERT_NAMES,
    **fields: Any,
) -> Kind:
    return Kind(_BY_TYPE[model_type], {"model_type": model_type, **fields}, names, config)


_ROBERTA = _SIZES._replace(positions=40, token_types=1, layer_norm_eps=1e-5, padding_id=PADDING_ID)
KINDS = {
    "bert": _kind("bert", _SIZES),
    "roberta": _kind("roberta", _ROBERTA, pad_token_id=PADDING_ID),
    "xlm-roberta": _kind("xlm-roberta", _ROBERTA, pad_token_id=PADDING_ID),
    "camembert": _kind("camembert", _ROBERTA, pad_token_id=PADDING_ID),
    "distilbert": _kind(
        "distilbert", _SIZES._replace(token_types=1), _DISTILBERT_NAMES, activation="gelu"
    ),
    "mpnet": _kind(
        "mpnet",
        _ROBERTA._replace(positions=150, padding_id=1, distance_buckets=32),
        relative_attention_num_buckets=32,
    ),
    # As rubert-tiny2 and TinyBERT: no size is a multiple of 16.
    "odd sizes": _kind("bert", _SIZES._replace(layers=3, hidden=78, heads=3, intermediate=150)),
    "mpnet of odd sizes": _kind(
        "mpnet",
        _ROBERTA._replace(hidden=60, heads=5, padding_id=1, distance_buckets=32),
        relative_attention_num_buckets=32,
    ),
    "electra": _kind("electra", _SIZES, embedding_size=_SIZES.hidden),
}


def config_fields(kind: Kind) -> dict[str, Any]:
    """Return the fields of the kind's config.json."""
    sizes = kind.config._asdict()
    return kind.fields | {theirs: sizes[ours] for ours, theirs in kind.names.items()}


def family_weights(kind: Kind, seed: int = 0) -> Tensors:
    """Return random tensors under BERT's names; token types that the family lacks are zeros."""
    tensors = random_weights(kind.config, seed)
    if not kind.family.token_types:
        tensors[TOKEN_TYPES] = np.zeros_like(tensors[TOKEN_TYPES])
    return tensors


def own_names(kind: Kind, tensors: Tensors) -> Tensors:
    """Return the tensors as the family's files have them."""
    result: Tensors = {}
    for name, array in tensors.items():
        if name == TOKEN_TYPES and not kind.family.token_types:
            continue
        result[kind.family.own_name(name)] = array
    return result


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer of words that splits off its special tokens, as all do."""
    build_wordpiece_tokenizer(VOCAB).save(str(folder / "tokenizer.json"))


def write_family_folder(folder: Path, kind: Kind, tensors: Tensors, prefix: str = "") -> None:
    """Write a folder as transformers does, with the encoder's tensors under a prefix."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_fields(kind)))
    write_tokenizer(folder)
    named = {f"{prefix}{name}": array for name, array in own_names(kind, tensors).items()}
    save_file(named, folder / "model.safetensors")


def token_ids(text: str) -> list[int]:
    """Return the ids of a text."""
    return [VOCAB.index(word) for word in ("[CLS]", *text.split(), "[SEP]")]


def head_weights(kind: Kind, labels: int, seed: int = 0) -> Tensors:
    """Return random tensors of a classifier, by the family's names."""
    rng = np.random.default_rng(seed + 1)
    hidden, head = kind.config.hidden, kind.family.head
    tensors: Tensors = {}
    for name, out in ((head.dense, hidden), (head.classifier, labels)):
        weight = rng.standard_normal((out, hidden)) * 2 / np.sqrt(hidden)
        tensors[f"{name}.weight"] = weight.astype(np.float32)
        tensors[f"{name}.bias"] = rng.standard_normal(out).astype(np.float32)
    return tensors


def write_reranker_folder(
    folder: Path,
    kind: Kind,
    tensors: Tensors,
    head: Tensors,
    *,
    wrapper: str = "",
    **fields: Any,
) -> None:
    """Write a sequence classifier as transformers does, or as one saved from a wrapper."""
    write_family_folder(folder, kind, tensors)
    named = {f"{kind.family.prefix}{name}": a for name, a in own_names(kind, tensors).items()}
    named = {f"{wrapper}{name}": array for name, array in (named | head).items()}
    save_file(named, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config_fields(kind) | fields))


def pair_ids(first: str, second: str) -> tuple[list[int], list[int]]:
    """Return the ids and the types of a pair."""
    before, after = token_ids(first), token_ids(second)[1:]
    return before + after, [0] * len(before) + [1] * len(after)
