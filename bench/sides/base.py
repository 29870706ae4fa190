"""The interface of every side, and batches for runtimes that need padded ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bench.files import HIDDEN, ModelFiles

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]

MOST_TOKENS = 512
# Batch sizes that are tried for each peer and workload; the best is used.
BATCH_SIZES = (8, 16, 32, 64)


class Side(Protocol):
    """One way to turn texts into vectors."""

    versions: dict[str, str]  # versions of the packages that do the work
    batch_sizes: Sequence[int]  # to try; one, if the side needs none

    def encode(self, texts: Sequence[str], batch_size: int) -> Vectors:
        """Return the vectors, (len(texts), 384), in the order of the texts."""


@dataclass
class PaddedSide:
    """A runtime that takes padded ids: batches of similar lengths, pooled with the mask.

    Attributes:
        tokenizer: Truncates, and does not pad.
        last_hidden_state: Maps ids and mask, (texts, tokens) each, to (texts, tokens, 384).
    """

    versions: dict[str, str]
    tokenizer: Tokenizer
    last_hidden_state: Callable[[Ids, Ids], Vectors]
    batch_sizes: Sequence[int] = BATCH_SIZES

    def encode(self, texts: Sequence[str], batch_size: int) -> Vectors:
        out = np.empty((len(texts), HIDDEN), np.float32)
        all_ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]
        for rows in batches_by_length(all_ids, batch_size):
            ids, mask = padded([all_ids[row] for row in rows])
            out[rows] = mean_pool(self.last_hidden_state(ids, mask), mask)
        return out


def batches_by_length(all_ids: Sequence[Sequence[int]], batch_size: int) -> list[list[int]]:
    """Return rows in batches of texts with similar token counts, so that little is padded."""
    order = sorted(range(len(all_ids)), key=lambda row: len(all_ids[row]))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def padded(rows: Sequence[Sequence[int]]) -> tuple[Ids, Ids]:
    """Return ids padded with [PAD], which is 0, and the mask of the real ones."""
    lengths = np.array([len(row) for row in rows])
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    ids = np.zeros_like(mask)
    ids[mask == 1] = np.fromiter(chain.from_iterable(rows), np.int64, lengths.sum())
    return ids, mask


def mean_pool(tokens: Vectors, mask: Ids) -> Vectors:
    """Return the mean over each text's real tokens."""
    weights = mask.astype(np.float32)
    # One small matrix product per text; (tokens * mask).sum(1) would write a copy of all tokens.
    summed: Vectors = np.matmul(weights[:, None, :], tokens)[:, 0]
    pooled: Vectors = summed / weights.sum(1, keepdims=True)
    return pooled


def load_tokenizer(files: ModelFiles) -> Tokenizer:
    """Return the tokenizer for sides without their own."""
    tokenizer = Tokenizer.from_file(str(files.float_folder() / "tokenizer.json"))
    tokenizer.enable_truncation(MOST_TOKENS)
    return tokenizer


def versions(*packages: str) -> dict[str, str]:
    """Return the installed versions of packages."""
    from importlib.metadata import version

    return {package: version(package) for package in packages}


def as_float32(array: Any) -> Vectors:
    """Return an array, or an object with the array interface, as float32."""
    return np.asarray(array, np.float32)
