"""The results of one pass: vectors, token embeddings, and facts about each text."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.tokenization import RaggedBatch


class Encoded:
    """The results of n texts, row by row.

    Attributes:
        token_ids: One int32 array (tokens,) per text; empty without token embeddings.
        token_embeddings: One float32 array (tokens, hidden) per text, as the encoder gives them;
            empty unless they were requested.
    """

    __slots__ = ("_offsets", "_truncated", "_vectors", "token_embeddings", "token_ids")

    def __init__(self, vectors: NDArray[Any] | None) -> None:
        """Begin with the array that vectors are written to, if they are wanted."""
        self._vectors = vectors
        self.token_ids: list[NDArray[np.int32]] = []
        self.token_embeddings: list[NDArray[np.float32]] = []
        self._offsets: list[NDArray[np.int64]] = []
        self._truncated: list[NDArray[np.bool_]] = []

    @property
    def vectors(self) -> NDArray[Any]:
        """The vectors: (n, columns) in the plan's dtype.

        Raises:
            ValueError: Only token embeddings were requested.
        """
        if self._vectors is None:
            raise ValueError("there are no vectors: they were not asked for.")
        return self._vectors

    @property
    def token_counts(self) -> NDArray[np.int64]:
        """The number of tokens used of each text, special tokens included: int64 (n,)."""
        return np.concatenate([np.empty(0, np.int64), *map(np.diff, self._offsets)])

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """Whether a text had more tokens than were used: bool (n,)."""
        return np.concatenate([np.empty(0, np.bool_), *self._truncated])

    def add(self, batch: RaggedBatch, rows: NDArray[np.float32] | None) -> None:
        """Add the next texts, with the embeddings of their tokens, (tokens, hidden), if wanted."""
        self._offsets.append(batch.offsets)
        self._truncated.append(batch.truncated)
        if rows is not None:
            cuts = batch.offsets[1:-1]
            self.token_ids += np.split(batch.ids, cuts) if batch.texts else []
            self.token_embeddings += np.split(rows, cuts) if batch.texts else []
