"""Read the files of a tokenizer into one form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bge_micro.tokenization.build import build_wordpiece_tokenizer, read_vocab


def read_tokenizer(path: Path, normalizer: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read a tokenizer.json, or make one from a vocab.txt as for BERT uncased.

    Args:
        path: The file.
        normalizer: A normalizer that replaces the tokenizer's; None to keep it.

    Returns:
        The contents of a tokenizer.json, without stored padding and truncation.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a JSON object, or not a vocabulary.
    """
    if path.suffix == ".json":
        try:
            tokenizer = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not a readable tokenizer.json: {error}") from error
    else:
        tokenizer = uncased_tokenizer(read_vocab(path))
    if not isinstance(tokenizer, dict):
        raise ValueError(f"{path}: not a tokenizer.json: it holds no object.")
    tokenizer |= {"padding": None, "truncation": None}
    if normalizer is not None:
        tokenizer["normalizer"] = normalizer
    return tokenizer


def uncased_tokenizer(vocab: Sequence[str]) -> dict[str, Any]:
    """Return the contents of a tokenizer.json as for BERT uncased, from the tokens in order."""
    tokenizer: dict[str, Any] = json.loads(build_wordpiece_tokenizer(vocab).to_str())
    return tokenizer
