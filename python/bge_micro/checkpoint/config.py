"""The shape of an encoder, read from a Hugging Face config.json and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.json_file import read_json_object

# The int8 kernels sum this many products of 8-bit numbers exactly in 32 bits.
MAX_INNER = 32768

# No BERT comes near these; they keep a lying file from asking for absurd work.
_MAX_LAYERS = 256
_MAX_VOCAB = 2**24
_MAX_POSITIONS = 2**20
_MAX_TOKEN_TYPES = 1024

# Kernels work on 16 lanes and on blocks of 64 features, without tails.
_FEATURE_MULTIPLE = 64
_HEAD_MULTIPLE = 16


class EncoderConfig(NamedTuple):
    """Sizes of a post-norm BERT encoder with GELU (erf) and absolute positions.

    The core reads them by these names (cpp/model/config.h).

    Attributes:
        layers: Number of transformer layers.
        hidden: Size of a token's vector.
        heads: Number of attention heads.
        intermediate: Size of the feed-forward layer.
        vocab: Rows of the word embeddings.
        positions: Rows of the position embeddings: the longest text in tokens.
        token_types: Rows of the token type embeddings.
        layer_norm_eps: Added to the variance in every LayerNorm.
    """

    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocab: int
    positions: int
    token_types: int
    layer_norm_eps: float

    @property
    def head_size(self) -> int:
        """Features of one attention head."""
        return self.hidden // self.heads

    def to_bert_config(self) -> dict[str, Any]:
        """Return the fields of an equivalent Hugging Face config.json."""
        return {
            "architectures": ["BertModel"],
            "attention_probs_dropout_prob": 0.0,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.0,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "layer_norm_eps": self.layer_norm_eps,
            "max_position_embeddings": self.positions,
            "model_type": "bert",
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "type_vocab_size": self.token_types,
            "vocab_size": self.vocab,
        }


def read_config(path: Path) -> EncoderConfig:
    """Read and check a config.json.

    Args:
        path: The file.

    Returns:
        The encoder's sizes.

    Raises:
        MissingFileError: The file is not there.
        CheckpointError: It is damaged, or describes a model this engine cannot run; the message
            names the field, what was found and what is supported.
    """
    return parse_config(read_json_object(path), str(path))


def parse_config(fields: dict[str, Any], where: str) -> EncoderConfig:
    """Check the fields of a config.json; raises `CheckpointError` naming `where` and the field."""
    _check_architecture(fields, where)
    config = EncoderConfig(
        layers=_size(fields, where, "num_hidden_layers", _MAX_LAYERS),
        hidden=_size(fields, where, "hidden_size", MAX_INNER),
        heads=_size(fields, where, "num_attention_heads", MAX_INNER),
        intermediate=_size(fields, where, "intermediate_size", MAX_INNER),
        vocab=_size(fields, where, "vocab_size", _MAX_VOCAB),
        positions=_size(fields, where, "max_position_embeddings", _MAX_POSITIONS),
        token_types=_size(fields, where, "type_vocab_size", _MAX_TOKEN_TYPES),
        layer_norm_eps=_epsilon(fields, where),
    )
    _check_divisibility(config, where)
    return config


def _check_architecture(fields: dict[str, Any], where: str) -> None:
    architectures = fields.get("architectures")
    model_type = fields.get("model_type")
    if model_type is None and architectures == ["BertModel"]:
        model_type = "bert"
    _expect(where, "model_type", model_type, "bert")
    _expect(where, "hidden_act", fields.get("hidden_act", "gelu"), "gelu")
    position_type = fields.get("position_embedding_type", "absolute")
    _expect(where, "position_embedding_type", position_type, "absolute")
    _expect(where, "is_decoder", fields.get("is_decoder", False), False)


def _expect(where: str, field: str, found: object, expected: object) -> None:
    if found != expected:
        raise CheckpointError(
            f"{where}: {field} is {found!r}, but only {expected!r} is supported; "
            "this engine runs BERT encoders such as bge-micro-v2."
        )


def _size(fields: dict[str, Any], where: str, field: str, largest: int) -> int:
    found = fields.get(field)
    if type(found) is not int or not 1 <= found <= largest:
        raise CheckpointError(
            f"{where}: {field} is {found!r}, expected a whole number from 1 to {largest}."
        )
    return found


def _epsilon(fields: dict[str, Any], where: str) -> float:
    found = fields.get("layer_norm_eps", 1e-12)
    # Below the smallest normal float32 it would vanish, and a constant row divide by zero.
    if type(found) not in (int, float) or not 1e-37 <= found <= 1.0:
        raise CheckpointError(
            f"{where}: layer_norm_eps is {found!r}, expected a number from 1e-37 to 1."
        )
    return float(found)


def _check_divisibility(config: EncoderConfig, where: str) -> None:
    for field, size in (
        ("hidden_size", config.hidden),
        ("intermediate_size", config.intermediate),
    ):
        if size % _FEATURE_MULTIPLE:
            raise CheckpointError(
                f"{where}: {field} is {size}, expected a multiple of {_FEATURE_MULTIPLE}."
            )
    if config.hidden % config.heads:
        raise CheckpointError(
            f"{where}: num_attention_heads is {config.heads}, "
            f"which does not divide hidden_size {config.hidden}."
        )
    if config.head_size % _HEAD_MULTIPLE:
        raise CheckpointError(
            f"{where}: hidden_size {config.hidden} over num_attention_heads {config.heads} gives "
            f"a head size of {config.head_size}, expected a multiple of {_HEAD_MULTIPLE}."
        )
