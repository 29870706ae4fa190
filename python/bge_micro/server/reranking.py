"""The reranker that a server has beside its model for embeddings."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bge_micro import CrossEncoder
from bge_micro.scores import apply_activation
from bge_micro.server.errors import UnknownModelError
from bge_micro.server.foreign_fields import ForeignFields
from bge_micro.server.models import Reranker


@dataclass(frozen=True)
class Scored:
    """What became of a query and n texts.

    Attributes:
        logits: What the model gives: float32 (n,).
        tokens: Tokens that were used, special tokens included.
    """

    logits: NDArray[np.float32]
    tokens: int

    @property
    def scores(self) -> NDArray[np.float32]:
        """Scores between 0 and 1: float32 (n,)."""
        return apply_activation(self.logits[:, None], "sigmoid")[:, 0]

    @property
    def order(self) -> Sequence[int]:
        """The texts' numbers: the highest score first, equal ones in their order."""
        order: list[int] = np.argsort(-self.logits, kind="stable").tolist()
        return order


class ServedReranker:
    """A reranker, and what clients are told of it."""

    def __init__(self, model: CrossEncoder, names: Sequence[str]) -> None:
        """Take a model of one label, and its names, at least one."""
        self.names = tuple(names)
        # A copy: what is set on the model later has no effect here.
        self._model = copy.copy(model)
        self.rows = Reranker(self._model)
        self.plan = model.plan(truncation="silent")
        self.foreign_fields = ForeignFields(has_prompts=False)

    @property
    def max_input_length(self) -> int:
        """Tokens of a pair that are used."""
        return self._model.max_length

    @property
    def compute_type(self) -> str:
        """The arithmetic: "int8" or "float32"."""
        return self._model.compute_type

    def check_name(self, name: str) -> None:
        """Raise an UnknownModelError unless the reranker is called so."""
        if name not in self.names:
            known = " or ".join(map(repr, self.names))
            raise UnknownModelError(f"this server has the reranker {known} only", param="model")
