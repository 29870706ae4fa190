"""A BERT encoder in float64 NumPy, written as plainly as possible.

It is slow. It is the specification that the C++ core is tested against. Symbols in the shape
comments: T tokens of the text, H hidden size, A heads, D = H / A head size, F feed-forward size.
Tensors have their Hugging Face names, in the float form or the quantised form of our own format.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Tensors = Mapping[str, NDArray[Any]]

# NumPy has no erf; the C library's is correct to the last bit or two.
erf: Callable[[Array], Array] = np.vectorize(math.erf, otypes=[np.float64])


class Config(Protocol):
    """The sizes of an encoder."""

    @property
    def layers(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def layer_norm_eps(self) -> float: ...
    @property
    def padding_id(self) -> int: ...


@dataclass(frozen=True)
class Encoded:
    """The encoder's results for one text."""

    activations: list[Array]  # layers + 1 of [T, H]: the embeddings, then each layer's output
    vector: Array  # [H], the pooled token embeddings

    @property
    def token_embeddings(self) -> Array:
        """The last layer's output, [T, H]."""
        return self.activations[-1]


def encode(
    tensors: Tensors,
    ids: Sequence[int],
    config: Config,
    pooling: str = "mean",
    types: Sequence[int] | None = None,
) -> Encoded:
    """Encode one text, given as ids with its special tokens; pool as sentence-transformers do.

    A pair of texts is one text in which each token has a type; without types all have type 0.
    """
    activations = [embed(tensors, ids, config, types)]
    for layer in range(config.layers):
        name = f"encoder.layer.{layer}"
        activations.append(encoder_layer(tensors, name, activations[-1], config))
    return Encoded(activations, pool(activations[-1], pooling))


def classify(tensors: Tensors, head: tuple[str, str, str], vector: Array) -> Array:
    """Return the logits for the first token's vector [H].

    `head` is the name of the dense layer, its activation, and the name of the classifier.
    """
    dense, activation, classifier = head
    functions = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0), "gelu": gelu}
    return linear(tensors, classifier, functions[activation](linear(tensors, dense, vector)))


def embed(
    tensors: Tensors, ids: Sequence[int], config: Config, types: Sequence[int] | None = None
) -> Array:
    """Sum the embeddings of word, position and token type, and normalise: [T, H]."""
    words = tensors["embeddings.word_embeddings.weight"][list(ids)].astype(np.float64)
    if "embeddings.word_embeddings.scale" in tensors:  # int8
        scale = tensors["embeddings.word_embeddings.scale"].astype(np.float64)
        words *= scale if len(scale) == 1 else scale[list(ids), np.newaxis]
    places = position_rows(ids, config.padding_id)
    positions = tensors["embeddings.position_embeddings.weight"][places].astype(np.float64)
    kinds = list(types) if types is not None else [0] * len(ids)
    token_types = tensors["embeddings.token_type_embeddings.weight"][kinds].astype(np.float64)
    return layer_norm(tensors, "embeddings.LayerNorm", words + positions + token_types, config)


def position_rows(ids: Sequence[int], padding_id: int) -> list[int]:
    """Count positions from 0; RoBERTa from behind the padding token, which keeps its own place."""
    if padding_id < 0:
        return list(range(len(ids)))
    real = np.array(ids) != padding_id
    return [int(place) for place in np.cumsum(real) * real + padding_id]


def encoder_layer(tensors: Tensors, name: str, x: Array, config: Config) -> Array:
    """Attention and feed-forward network, each with a residual and a norm after it: [T, H]."""
    context = attention(
        linear(tensors, f"{name}.attention.self.query", x),
        linear(tensors, f"{name}.attention.self.key", x),
        linear(tensors, f"{name}.attention.self.value", x),
        config.heads,
        tensors.get("encoder.relative_attention_bias.weight"),
    )
    attended = linear(tensors, f"{name}.attention.output.dense", context)
    x = layer_norm(tensors, f"{name}.attention.output.LayerNorm", attended + x, config)
    inner = gelu(linear(tensors, f"{name}.intermediate.dense", x))  # [T, F]
    outer = linear(tensors, f"{name}.output.dense", inner)
    return layer_norm(tensors, f"{name}.output.LayerNorm", outer + x, config)


def attention(
    query: Array, key: Array, value: Array, heads: int, biases: NDArray[Any] | None = None
) -> Array:
    """Attention of every token to every token, head by head; queries, keys, values: [T, H].

    A table of biases [32, A] adds to each score what belongs to the distance from query to key.
    """
    tokens, hidden = query.shape

    def split(x: Array) -> Array:  # [T, H] -> [A, T, D]
        return x.reshape(tokens, heads, hidden // heads).transpose(1, 0, 2)

    scores = split(query) @ split(key).transpose(0, 2, 1) / math.sqrt(hidden // heads)  # [A, T, T]
    if biases is not None:
        places = range(tokens)
        buckets = np.array([[distance_bucket(k - q) for k in places] for q in places])
        scores = scores + biases[buckets].astype(np.float64).transpose(2, 0, 1)
    context = softmax(scores) @ split(value)  # [A, T, D]
    return context.transpose(1, 0, 2).reshape(tokens, hidden)


def distance_bucket(distance: int) -> int:
    """Return the bucket of a distance, as in T5 for 32 buckets and distances up to 128."""
    size, after = abs(distance), 16 if distance > 0 else 0
    return after + (size if size < 8 else min(15, 8 + int(2 * math.log2(size / 8))))


def linear(tensors: Tensors, name: str, x: Array) -> Array:
    """Multiply by a weight [out, in] and add the bias.

    A quantised weight is an int8 [out, in] times a scale [out]. An input factor [in] multiplies
    the input; the weights are stored divided by it.
    """
    weight: Array = tensors[f"{name}.weight"].astype(np.float64)
    if f"{name}.weight_scale" in tensors:
        weight *= tensors[f"{name}.weight_scale"].astype(np.float64)[:, np.newaxis]
    if f"{name}.input_factor" in tensors:
        x = x * tensors[f"{name}.input_factor"].astype(np.float64)
    return x @ weight.T + tensors[f"{name}.bias"].astype(np.float64)


def layer_norm(tensors: Tensors, name: str, x: Array, config: Config) -> Array:
    """Shift and scale each row to mean 0 and variance 1, then apply weight and bias [H]."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    normed: Array = centred / np.sqrt(variance + config.layer_norm_eps)
    weight, bias = (tensors[f"{name}.{part}"].astype(np.float64) for part in ("weight", "bias"))
    return normed * weight + bias


def gelu(x: Array) -> Array:
    """Multiply by the normal distribution function: the exact form, not the tanh one."""
    return x * 0.5 * (1.0 + erf(x / math.sqrt(2.0)))


def softmax(scores: Array) -> Array:
    """Turn each row of scores into probabilities that add up to one."""
    powers: Array = np.exp(scores - scores.max(axis=-1, keepdims=True))
    total: Array = powers.sum(axis=-1, keepdims=True)
    return powers / total


def pool(tokens: Array, pooling: str) -> Array:
    """Pool the token embeddings [T, H], special tokens included, to one vector [H]."""
    poolings: dict[str, Callable[[Array], Array]] = {
        "mean": lambda rows: rows.mean(axis=0),
        "cls": lambda rows: rows[0],
        "max": lambda rows: rows.max(axis=0),
        "mean_sqrt_len_tokens": lambda rows: rows.sum(axis=0) / math.sqrt(len(rows)),
    }
    return poolings[pooling](tokens)
