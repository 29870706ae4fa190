"""The float32 encoder in single steps, with the core's kernels: the inputs of each linear layer.

Rows are the tokens of all texts, one text after the other. The kernels give the same bits on every
CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro import _core
from bge_micro.checkpoint.config import EncoderConfig
from bge_micro.checkpoint.tensors import DISTANCE_BIASES, WORDS, Linear, Tensors
from bge_micro.runtime import choose_isa
from bge_micro.tokenization import RaggedBatch

Floats = NDArray[np.float32]


class FloatEncoder:
    """A model and the tokens of some texts.

    Attributes:
        isa: The instruction set that runs.
    """

    def __init__(self, tensors: Tensors, config: EncoderConfig, batch: RaggedBatch) -> None:
        """Take a model with float32 linear layers, and texts."""
        self.isa = choose_isa().value
        self._tensors = tensors
        self._config = config
        self._batch = batch
        self._distance_biases = tensors.get(DISTANCE_BIASES)

    def embed(self) -> Floats:
        """Return the embeddings, [tokens, hidden]."""
        names = ("position_embeddings.weight", "token_type_embeddings.weight")
        positions, token_types = (
            _in_whole_vectors(self._tensors[f"embeddings.{name}"]) for name in names
        )
        words = _in_whole_vectors(self._tensors[f"{WORDS}.weight"])
        scale = self._tensors.get(f"{WORDS}.scale", np.ones(1, np.float32))  # of int8 words
        norm = self._norm("embeddings.LayerNorm")
        return np.concatenate(
            [
                _core.layers.embed(
                    self.isa,
                    self._batch.ids[text],
                    words,
                    scale,
                    positions,
                    token_types,
                    *norm,
                    padding_id=self._config.padding_id,
                )
                for text in self._texts()
            ]
        )

    def attend(self, linears: Sequence[Linear], rows: Floats) -> Floats:
        """Return what attention by query, key and value gives, [tokens, hidden]."""
        projected = np.concatenate([self.linear(linear, rows) for linear in linears], axis=1)
        heads = self._config.heads
        return np.concatenate(
            [
                _core.layers.attention(
                    self.isa, "float32", projected[text], heads, self._distance_biases
                )
                for text in self._texts()
            ]
        )

    def add_norm(self, linear: Linear, inner: Floats, residual: Floats) -> Floats:
        """Return the normalised sum of residual and linear(inner), [tokens, hidden]."""
        norm = self._norm(f"{linear.name.removesuffix('dense')}LayerNorm")
        return _core.layers.add_norm(self.isa, residual, self.linear(linear, inner), *norm)

    def linear(self, linear: Linear, rows: Floats, gelu: bool = False) -> Floats:
        """Return a linear layer's outputs, [tokens, out], after GELU if wanted."""
        weight, bias = (self._tensors[f"{linear.name}.{part}"] for part in ("weight", "bias"))
        return _core.layers.linear(self.isa, "float32", rows, weight, None, bias, None, gelu)

    def _norm(self, name: str) -> tuple[Floats, Floats, float]:
        weight, bias = (self._tensors[f"{name}.{part}"] for part in ("weight", "bias"))
        return weight, bias, self._config.layer_norm_eps

    def _texts(self) -> list[slice]:
        offsets = self._batch.offsets.tolist()
        return [slice(*pair) for pair in pairwise(offsets)]


def _in_whole_vectors(table: NDArray[Any]) -> NDArray[Any]:
    """Return the table with zeros behind each row, up to a multiple of 16 columns."""
    missing = -table.shape[1] % 16
    return np.pad(table, ((0, 0), (0, missing))) if missing else table
