"""Made-up models for the core's Engine, and a short way to run them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro import _core
from core.isas import Floats
from random_weights import Tensors, random_weights, with_random_codes

Text = NDArray[np.int32]  # token ids


@dataclass(frozen=True)
class Sizes:
    """The config that the core and tests/reference.py take."""

    layers: int = 2
    hidden: int = 64
    heads: int = 4
    intermediate: int = 128
    vocab: int = 60
    positions: int = 512
    token_types: int = 2
    layer_norm_eps: float = 1e-12
    padding_id: int = -1
    distance_buckets: int = 0


def random_tensors(sizes: Sizes, int8: bool = True, factors: bool = True, seed: int = 0) -> Tensors:
    """Return all tensors of a model, with random weights about as large as trained ones."""
    tensors = random_weights(sizes, seed)
    return with_random_codes(tensors, sizes, seed, factors=factors) if int8 else tensors


def make_model(sizes: Sizes, tensors: Tensors, compute_type: str, isa: str = "") -> _core.Engine:
    return _core.Engine(sizes, tensors, compute_type, isa)


def random_texts(sizes: Sizes, lengths: Sequence[int], seed: int = 0) -> list[Text]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, sizes.vocab, n).astype(np.int32) for n in lengths]


def ragged(texts: Sequence[Text]) -> tuple[Text, NDArray[np.int64]]:
    """Return the ids of all texts in one array, and the index where each text begins."""
    offsets = np.cumsum([0, *map(len, texts)])
    return np.concatenate([np.zeros(0, np.int32), *texts]), offsets.astype(np.int64)


def encode(
    model: _core.Engine,
    sizes: Sizes,
    texts: Sequence[Text],
    *,
    pooling: str = "mean",
    dimensions: int | None = None,
    normalize: bool = False,
    precision: str = "float32",
    threads: int = 1,
    skip: int = 0,
    token_embeddings: Floats | None = None,
) -> NDArray[Any]:
    """Return one row a text; fill `token_embeddings` in the same pass where they are given."""
    dimensions = dimensions or sizes.hidden
    columns = (dimensions + 7) // 8 if "binary" in precision else dimensions
    dtype = {"float32": "f4", "int8": "i1", "binary": "i1"}.get(precision, "u1")
    vectors = np.full((len(texts), columns), -77, np.int8).astype(dtype)
    model.encode(
        *ragged(texts),
        pooling=pooling,
        dimensions=dimensions,
        normalize=normalize,
        precision=precision,
        threads=threads,
        skip=skip,
        vectors=vectors,
        token_embeddings=token_embeddings,
    )
    return vectors


def encode_tokens(
    model: _core.Engine, sizes: Sizes, texts: Sequence[Text], threads: int = 1
) -> Floats:
    """Return the token embeddings of all texts in one array."""
    ids, offsets = ragged(texts)
    rows = np.full((len(ids), sizes.hidden), np.nan, np.float32)
    model.encode(
        ids,
        offsets,
        pooling="mean",
        dimensions=sizes.hidden,
        normalize=False,
        precision="float32",
        threads=threads,
        token_embeddings=rows,
    )
    return rows
