"""Random weights for tests: every tensor of a BERT encoder, in float32 or in 8 bits."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint import EncoderConfig
from bge_micro.checkpoint.tensors import DISTANCE_BIASES, all_linears

Tensors = dict[str, NDArray[Any]]

WORDS = "embeddings.word_embeddings"


def norm_names(config: EncoderConfig) -> list[str]:
    """Return the names of all LayerNorms; the last one's output is the model's."""
    layers = [f"encoder.layer.{layer}" for layer in range(config.layers)]
    parts = ("attention.output.LayerNorm", "output.LayerNorm")
    return ["embeddings.LayerNorm", *(f"{layer}.{part}" for layer in layers for part in parts)]


def random_weights(
    config: EncoderConfig,
    seed: int,
    *,
    embeddings: tuple[float, float, float] = (1.0, 0.3, 1.0),
    norm_weights: float = 0.1,
    norm_biases: float = 0.1,
    linears: float | None = None,
    biases: float = 0.1,
) -> Tensors:
    """Return all tensors of a model in float32, normally distributed.

    The options are standard deviations; the defaults are about those of trained models. LayerNorms'
    weights have a mean of 1, everything else of 0.

    Args:
        config: The sizes.
        seed: Where chance begins.
        embeddings: Of words, of positions and of token types.
        norm_weights: Of LayerNorms' weights.
        norm_biases: Of LayerNorms' biases.
        linears: Of linear layers' weights; None means one over the square root of a layer's inputs,
            which keeps activations at their size.
        biases: Of linear layers' biases.
    """
    rng = np.random.default_rng(seed)

    def normal(size: float, *shape: int) -> NDArray[np.float32]:
        return (size * rng.standard_normal(shape)).astype(np.float32)

    tensors: Tensors = {
        f"{WORDS}.weight": normal(embeddings[0], config.vocab, config.hidden),
        "embeddings.position_embeddings.weight": normal(
            embeddings[1], config.positions, config.hidden
        ),
        "embeddings.token_type_embeddings.weight": normal(
            embeddings[2], config.token_types, config.hidden
        ),
    }
    if config.distance_buckets:
        shape = (config.distance_buckets, config.heads)
        tensors[DISTANCE_BIASES] = normal(1.0, *shape)
    for norm in norm_names(config):
        tensors[f"{norm}.weight"] = 1 + normal(norm_weights, config.hidden)
        tensors[f"{norm}.bias"] = normal(norm_biases, config.hidden)
    for linear in all_linears(config):
        size = linear.in_features**-0.5 if linears is None else linears
        tensors[f"{linear.name}.weight"] = normal(size, linear.out_features, linear.in_features)
        tensors[f"{linear.name}.bias"] = normal(biases, linear.out_features)
    return tensors


def with_random_codes(
    tensors: Tensors, config: EncoderConfig, seed: int, *, factors: bool = True
) -> Tensors:
    """Return the tensors with int8 words and linears whose codes are uniform over all values.

    Scales give the linears the size that trained ones have. With `factors`, the inputs of attention
    and of each layer's last linear have factors.
    """
    rng = np.random.default_rng(seed)

    def around_one(size: int) -> NDArray[np.float32]:
        return np.exp(0.3 * rng.standard_normal(size)).astype(np.float32)

    shape = tensors[f"{WORDS}.weight"].shape
    changed: Tensors = {
        f"{WORDS}.weight": rng.integers(-128, 128, shape).astype(np.int8),
        f"{WORDS}.scale": np.array([0.01], np.float32),
    }
    for linear in all_linears(config):
        name, shape = linear.name, (linear.out_features, linear.in_features)
        changed[f"{name}.weight"] = rng.integers(-127, 128, shape).astype(np.int8)
        size = np.float32(73 * np.sqrt(linear.in_features))
        changed[f"{name}.weight_scale"] = around_one(linear.out_features) / size
        if not factors:
            continue
        if name.endswith(("self.key", "self.value")):  # they share the query's input
            query = name.rpartition(".")[0] + ".query"
            changed[f"{name}.input_factor"] = changed[f"{query}.input_factor"]
        elif name.endswith("self.query") or re.search(r"layer\.\d+\.output\.dense", name):
            changed[f"{name}.input_factor"] = around_one(linear.in_features)
    return {**tensors, **changed}
