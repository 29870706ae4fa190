"""Models as the engine's threads see them: rows to tokens, and tokens to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bge_micro import CrossEncoder, SentenceTransformer
from bge_micro.plan import Plan
from bge_micro.tokenization import RaggedBatch

# A row's tokens: their ids, int32 (n,); of a pair of texts with their types, int32 (n, 2).
Tokens = NDArray[np.int32]


class Model(Protocol):
    """What a job's rows go through."""

    def tokenize(self, rows: Sequence[Any], plan: Plan) -> RaggedBatch:
        """Return the tokens of rows."""

    def run(self, rows: Sequence[Tokens], plan: Plan) -> NDArray[np.float32]:
        """Return the numbers of each row of tokens, (n, columns)."""


class Embedder:
    """Texts to vectors."""

    def __init__(self, model: SentenceTransformer) -> None:
        """Take a model, whose settings must stay."""
        self._model = model

    def tokenize(self, rows: Sequence[Any], plan: Plan) -> RaggedBatch:
        """Return the tokens of texts, with the plan's prompt."""
        return self._model.token_ids(rows, plan)

    def run(self, rows: Sequence[Tokens], plan: Plan) -> NDArray[np.float32]:
        """Return the vectors, (n, dimensions)."""
        return self._model.run(rows, plan).vectors


class Reranker:
    """Pairs of texts, the query first, to logits."""

    def __init__(self, model: CrossEncoder) -> None:
        """Take a model, whose settings must stay."""
        self._model = model

    def tokenize(self, rows: Sequence[Any], plan: Plan) -> RaggedBatch:
        """Return the tokens of pairs, each with its type."""
        batch = self._model.token_ids(rows, plan)
        types = np.zeros_like(batch.ids) if batch.types is None else batch.types
        return batch._replace(ids=np.stack([batch.ids, types], 1))

    def run(self, rows: Sequence[Tokens], plan: Plan) -> NDArray[np.float32]:
        """Return the logits, (n, 1)."""
        tokens = np.concatenate(rows)
        offsets = np.cumsum([0, *map(len, rows)])
        ids, types = np.ascontiguousarray(tokens.T)
        return self._model.run(
            RaggedBatch(ids, offsets, np.zeros(len(rows), np.bool_), types), plan
        )
