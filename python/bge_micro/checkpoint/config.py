"""The sizes of an encoder, read from a Hugging Face config.json and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bge_micro.checkpoint.encoder_config import MAX_INNER, EncoderConfig
from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.families import Family, Fields, family_of
from bge_micro.checkpoint.json_file import read_json_object

__all__ = ["EncoderConfig", "parse_config", "read_config"]

# Kernels work on 16 lanes; each head is padded with zeros to a multiple of that.
_LANES = 16


def read_config(path: Path) -> tuple[Family, EncoderConfig]:
    """Read and check a config.json.

    Args:
        path: The file.

    Returns:
        The family, and the encoder's sizes.

    Raises:
        MissingFileError: The file is not there.
        CheckpointError: It is damaged, or describes a model this engine cannot run; the message
            names the field, what was found and what is supported.
    """
    fields = read_json_object(path)
    return family_of(fields, str(path)), parse_config(fields, str(path))


def parse_config(fields: dict[str, Any], where: str) -> EncoderConfig:
    """Check the fields of a config.json; raises `CheckpointError` naming `where` and the field."""
    config = family_of(fields, where).read_config(Fields(fields, where))
    if config.max_tokens < 1:
        raise CheckpointError(
            f"{where}: max_position_embeddings is {config.positions}, which leaves positions for "
            f"{config.max_tokens} tokens; expected at least 1."
        )
    _check_heads(config, where)
    return config


def _check_heads(config: EncoderConfig, where: str) -> None:
    if config.hidden % config.heads:
        raise CheckpointError(
            f"{where}: num_attention_heads is {config.heads}, "
            f"which does not divide hidden_size {config.hidden}."
        )
    padded = config.heads * -(-config.head_size // _LANES) * _LANES
    if padded > MAX_INNER:
        raise CheckpointError(
            f"{where}: num_attention_heads is {config.heads}, which with {_LANES} features each "
            f"gives {padded}, expected at most {MAX_INNER}."
        )
