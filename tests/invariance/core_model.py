"""The core's model without tokenizer, for made-up weights and token ids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bge_micro import _core
from bge_micro.checkpoint import EncoderConfig, Tensors
from bge_micro.quantize import quantize_checkpoint

Ids = NDArray[np.int32]


class CoreModel:
    """Token ids in, vectors and token embeddings out."""

    def __init__(
        self, config: EncoderConfig, tensors: Tensors, compute_type: str, isa: str = ""
    ) -> None:
        """Pack the weights; an empty `isa` means the best."""
        if compute_type == "int8":
            tensors = quantize_checkpoint(tensors, config)
        self._hidden = config.hidden
        self._core = _core.Engine(config, tensors, compute_type, isa)
        self.isa = self._core.isa

    def encode(self, texts: Sequence[Ids], threads: int = 1) -> list[NDArray[np.float32]]:
        """Return each text's vector and below it its token embeddings: (1 + tokens, hidden)."""
        offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        vectors = np.empty((len(texts), self._hidden), np.float32)
        tokens = np.empty((int(offsets[-1]), self._hidden), np.float32)
        self._core.encode(
            np.concatenate(texts),
            offsets,
            pooling="mean",
            dimensions=self._hidden,
            normalize=False,
            precision="float32",
            threads=threads,
            vectors=vectors,
            token_embeddings=tokens,
        )
        parts = np.split(tokens, offsets[1:-1])
        return [np.vstack(pair) for pair in zip(vectors, parts, strict=True)]
