"""Read a BERT encoder from a GGUF file, as llama.cpp's converter writes it: F32, F16, BF16, Q8_0.

The converter rewrites the vocabulary: "##ing" to "ing", and "hello" to "▁hello". Control tokens
such as "[CLS]" stay (in older versions, every token in brackets). This module restores the
vocabulary. The converter leaves out a Normalize module, which is an option of llama.cpp's programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint.advice import refuse_pointer_file
from bge_micro.checkpoint.config import EncoderConfig, parse_config
from bge_micro.checkpoint.errors import CheckpointError, MissingFileError
from bge_micro.checkpoint.tensors import Tensors, check_arrays

_TYPES = ("F32", "F16", "BF16", "Q8_0")
_POOLINGS = {0: None, 1: "mean", 2: "cls"}
_SPACE = "\u2581"
_CONTROL = 3  # gguf.TokenType.CONTROL

_NAMES = {
    "token_embd": "embeddings.word_embeddings",
    "position_embd": "embeddings.position_embeddings",
    "token_types": "embeddings.token_type_embeddings",
    "token_embd_norm": "embeddings.LayerNorm",
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}


@dataclass(frozen=True)
class GgufModel:
    """The contents of a GGUF file.

    Attributes:
        config: The encoder's sizes.
        tensors: float32 tensors under their BERT names.
        vocab: The WordPiece vocabulary, as in vocab.txt.
        pooling: "mean" or "cls"; None if the file does not name it.
    """

    config: EncoderConfig
    tensors: Tensors
    vocab: list[str]
    pooling: str | None


def read_gguf(path: Path) -> GgufModel:
    """Read a GGUF file.

    Args:
        path: The file.

    Returns:
        The model in it.

    Raises:
        ImportError: The gguf package is not installed.
        MissingFileError: The file does not exist.
        CheckpointError: The file is damaged, or has another kind of model.
    """
    gguf = _import_gguf()
    if not path.is_file():
        raise MissingFileError(f"{path}: the file is missing.")
    refuse_pointer_file(path)
    try:
        reader = gguf.GGUFReader(str(path))
    except Exception as error:  # gguf raises many types for damaged files
        raise CheckpointError(f"{path}: not a readable GGUF file ({error!r}).") from error
    fields = _Fields(path, reader)
    fields.expect("general.architecture", "bert")
    fields.expect("tokenizer.ggml.model", "bert")
    tensors = _read_tensors(path, reader, gguf)
    vocab = _wordpieces(path, fields)
    words = tensors.get("embeddings.word_embeddings.weight")
    types = tensors.get("embeddings.token_type_embeddings.weight")
    config = parse_config(
        {
            "model_type": "bert",
            "num_hidden_layers": fields.number("bert.block_count"),
            "hidden_size": fields.number("bert.embedding_length"),
            "num_attention_heads": fields.number("bert.attention.head_count"),
            "intermediate_size": fields.number("bert.feed_forward_length"),
            "max_position_embeddings": fields.number("bert.context_length"),
            "vocab_size": 0 if words is None else len(words),
            "type_vocab_size": 0 if types is None else len(types),
            # Stored as float32; the shortest decimal is the value that was meant.
            "layer_norm_eps": float(
                str(np.float32(fields.value("bert.attention.layer_norm_epsilon")))
            ),
        },
        str(path),
    )
    if fields.get("bert.attention.causal", False):
        raise CheckpointError(f"{path}: bert.attention.causal is true, expected an encoder.")
    pooling = fields.get("bert.pooling_type", 0)
    if pooling not in _POOLINGS:
        raise CheckpointError(
            f"{path}: bert.pooling_type is {pooling}, expected 1 (mean), 2 (cls)."
        )
    return GgufModel(config, check_arrays(tensors, config, path), vocab, _POOLINGS[pooling])


class _Fields:
    """The file's key-value pairs; errors name the file and the key."""

    def __init__(self, path: Path, reader: Any) -> None:
        self._path = path
        self._fields = reader.fields

    def get(self, key: str, default: Any) -> Any:
        return self.value(key) if key in self._fields else default

    def value(self, key: str) -> Any:
        if key not in self._fields:
            raise CheckpointError(f"{self._path}: {key} is missing.")
        try:
            return self._fields[key].contents()
        except Exception as error:
            raise CheckpointError(f"{self._path}: {key} cannot be read ({error!r}).") from error

    def number(self, key: str) -> int:
        found = self.value(key)
        if not isinstance(found, int):
            raise CheckpointError(f"{self._path}: {key} is {found!r}, expected a whole number.")
        return found

    def expect(self, key: str, expected: str) -> None:
        found = self.value(key)
        if found != expected:
            raise CheckpointError(
                f"{self._path}: {key} is {found!r}, but only {expected!r} is supported."
            )


def _read_tensors(path: Path, reader: Any, gguf: Any) -> dict[str, NDArray[np.float32]]:
    tensors: dict[str, NDArray[np.float32]] = {}
    for stored in reader.tensors:
        where = f"{path}, tensor {stored.name!r}"
        name = _bert_name(stored.name)
        if name is None:
            raise CheckpointError(f"{where}: not part of a BERT encoder.")
        if stored.tensor_type.name not in _TYPES:
            raise CheckpointError(
                f"{where}: type is {stored.tensor_type.name}, expected {', '.join(_TYPES)}; "
                "coarser ones lose too much to be quantised once more."
            )
        try:
            array = gguf.quants.dequantize(stored.data, stored.tensor_type)
        except Exception as error:
            raise CheckpointError(f"{where}: cannot be read ({error!r}).") from error
        tensors[name] = np.ascontiguousarray(array, np.float32)
    return tensors


def _bert_name(name: str) -> str | None:
    """Return the BERT name of a tensor: "blk.3.attn_q.weight" is the query weight of layer 3."""
    stem, _, part = name.rpartition(".")
    if part not in ("weight", "bias"):
        return None
    block, _, rest = stem.partition(".")
    if block == "blk":
        layer, _, stem = rest.partition(".")
        prefix = f"encoder.layer.{layer}."
    else:
        prefix = ""
    found = _NAMES.get(stem)
    return None if found is None else f"{prefix}{found}.{part}"


def _wordpieces(path: Path, fields: _Fields) -> list[str]:
    """Restore WordPiece's vocabulary from llama.cpp's."""
    tokens = fields.value("tokenizer.ggml.tokens")
    types = fields.get("tokenizer.ggml.token_type", [])
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise CheckpointError(f"{path}: tokenizer.ggml.tokens is no list of strings.")
    if len(types) not in (0, len(tokens)):
        raise CheckpointError(
            f"{path}: tokenizer.ggml.token_type has {len(types)} entries for {len(tokens)} tokens."
        )
    control = {n for n, kind in enumerate(types) if kind == _CONTROL}
    return [_wordpiece(token, number in control) for number, token in enumerate(tokens)]


def _wordpiece(token: str, control: bool) -> str:
    if control or (token.startswith("[") and token.endswith("]") and len(token) > 2):
        return token
    return token[1:] if token.startswith(_SPACE) else f"##{token}"


def _import_gguf() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise ImportError(
            "Reading GGUF files needs the gguf package; "
            "install it with: pip install 'bge-micro[gguf]'",
            name=error.name,
        ) from error
    return gguf
