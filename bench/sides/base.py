"""What every side is to the bench, and how runtimes that need rectangles are fed."""

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
# Batch sizes among which each peer's best is looked for, workload by workload.
BATCH_SIZES = (8, 16, 32, 64)


class Side(Protocol):
    """One way to turn texts into vectors."""

    versions: dict[str, str]  # of the packages that do the work
    batch_sizes: Sequence[int]  # worth trying; one, where the side needs none

    def encode(self, texts: Sequence[str], batch_size: int) -> Vectors:
        """Return the vectors, (len(texts), 384), in the order of the texts."""


@dataclass
class PaddedSide:
    """A runtime that takes a rectangle of ids: batches of like lengths, pooled by the mask.

    Attributes:
        tokenizer: Truncates, and does not pad.
        last_hidden_state: ids and mask, (texts, tokens) each, to (texts, tokens, 384).
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
    """Return rows in batches of texts of like token counts, so that little is padded."""
    order = sorted(range(len(all_ids)), key=lambda row: len(all_ids[row]))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def padded(rows: Sequence[Sequence[int]]) -> tuple[Ids, Ids]:
    """Return ids filled up with [PAD], which is 0, and the mask of the real ones."""
    lengths = np.array([len(row) for row in rows])
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    ids = np.zeros_like(mask)
    ids[mask == 1] = np.fromiter(chain.from_iterable(rows), np.int64, lengths.sum())
    return ids, mask


def mean_pool(tokens: Vectors, mask: Ids) -> Vectors:
    """Return the mean over each text's real tokens."""
    weights = mask.astype(np.float32)
    # One small matrix product a text; (tokens * mask).sum(1) would write all of it once more.
    summed: Vectors = np.matmul(weights[:, None, :], tokens)[:, 0]
    pooled: Vectors = summed / weights.sum(1, keepdims=True)
    return pooled


def load_tokenizer(files: ModelFiles) -> Tokenizer:
    """Return the tokenizer of every side that has none of its own."""
    tokenizer = Tokenizer.from_file(str(files.float_folder() / "tokenizer.json"))
    tokenizer.enable_truncation(MOST_TOKENS)
    return tokenizer


def versions(*packages: str) -> dict[str, str]:
    """Return the installed versions of packages."""
    from importlib.metadata import version

    return {package: version(package) for package in packages}


def as_float32(array: Any) -> Vectors:
    """Return an array, or what has the array interface, as float32."""
    return np.asarray(array, np.float32)
