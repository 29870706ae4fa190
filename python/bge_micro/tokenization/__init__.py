"""Texts to token ids in one flat batch without padding, by the core or by `tokenizers`."""

from __future__ import annotations

from bge_micro.tokenization.build import build_wordpiece_tokenizer, read_vocab
from bge_micro.tokenization.files import read_tokenizer, uncased_tokenizer
from bge_micro.tokenization.ragged import RaggedBatch, ragged_ids
from bge_micro.tokenization.surrogates import replace_surrogates
from bge_micro.tokenization.tokenizer import Tokenizer

__all__ = [
    "RaggedBatch",
    "Tokenizer",
    "build_wordpiece_tokenizer",
    "ragged_ids",
    "read_tokenizer",
    "read_vocab",
    "replace_surrogates",
    "uncased_tokenizer",
]
