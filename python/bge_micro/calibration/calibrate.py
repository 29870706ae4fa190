"""Run texts through a float model layer by layer, and quantise each layer for what it sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro import _core
from bge_micro.calibration.ordered import gram
from bge_micro.calibration.rounding import round_second_order
from bge_micro.calibration.smoothing import smoothing_factor
from bge_micro.checkpoint.config import EncoderConfig
from bge_micro.checkpoint.tensors import WORDS, Linear, Tensors, layer_linears
from bge_micro.runtime import choose_isa
from bge_micro.tokenization import RaggedBatch

Floats = NDArray[np.float32]


def calibrate_checkpoint(
    tensors: Tensors,
    config: EncoderConfig,
    batch: RaggedBatch,
    advance: Callable[[], object] = lambda: None,
) -> Tensors:
    """Quantise every linear layer for the inputs that texts give it.

    Args:
        tensors: A checkpoint's tensors with float32 linear layers.
        config: Its sizes.
        batch: The tokens of the texts; a few thousand are enough.
        advance: Called when a layer is done.

    Returns:
        The tensors with int8 ``.weight``, ``.weight_scale`` and ``.input_factor`` for every linear
        layer; the same bits on every CPU.

    Raises:
        ValueError: There are no texts, or a linear layer is quantised already.
    """
    if len(batch.offsets) < 2:
        raise ValueError("calibration needs at least one text.")
    _refuse_quantised(tensors, config)
    result = dict(tensors)
    with _core.DefaultFloatMode():
        encoder = _FloatEncoder(tensors, config, batch)
        rows = encoder.embed()
        for layer in range(config.layers):
            query, key, value, attention_output, up, down = layer_linears(config, layer)
            result |= _quantise([query, key, value], tensors, rows, encoder.isa)
            context = encoder.attend([query, key, value], rows)
            result |= _quantise([attention_output], tensors, context, encoder.isa)
            rows = encoder.add_norm(attention_output, context, rows)
            result |= _quantise([up], tensors, rows, encoder.isa)
            inner = encoder.linear(up, rows, gelu=True)
            result |= _quantise([down], tensors, inner, encoder.isa)
            rows = encoder.add_norm(down, inner, rows)
            advance()
    return result


def _refuse_quantised(tensors: Tensors, config: EncoderConfig) -> None:
    for layer in range(config.layers):
        for linear in layer_linears(config, layer):
            if tensors[f"{linear.name}.weight"].dtype == np.int8:
                raise ValueError(
                    f"{linear.name}.weight is int8 already; calibrate the float model it came from."
                )


def _quantise(
    linears: Sequence[Linear], tensors: Tensors, rows: Floats, isa: str
) -> Mapping[str, NDArray[Any]]:
    """Quantise linear layers that read the same input, [tokens, in]."""
    weights = [tensors[f"{linear.name}.weight"] for linear in linears]
    factor = smoothing_factor(np.abs(rows).max(axis=0), weights)
    moments = gram(rows * factor, isa)
    values, scale = round_second_order(np.concatenate(weights) / factor, moments)
    result: dict[str, NDArray[Any]] = {}
    start = 0
    for linear in linears:
        stop = start + linear.out_features
        result[f"{linear.name}.weight"] = values[start:stop]
        result[f"{linear.name}.weight_scale"] = scale[start:stop]
        result[f"{linear.name}.input_factor"] = factor
        start = stop
    return result


class _FloatEncoder:
    """The float32 model in single steps, by the core's kernels; rows are all texts' tokens."""

    def __init__(self, tensors: Tensors, config: EncoderConfig, batch: RaggedBatch) -> None:
        self.isa = choose_isa().value
        self._tensors = tensors
        self._config = config
        self._batch = batch

    def embed(self) -> Floats:
        names = ("position_embeddings.weight", "token_type_embeddings.weight")
        positions, token_types = (self._tensors[f"embeddings.{name}"] for name in names)
        words = self._tensors[f"{WORDS}.weight"]
        scale = float(self._tensors[f"{WORDS}.scale"][0]) if words.dtype == np.int8 else 1.0
        return np.concatenate(
            [
                _core.kernels.embed(
                    self.isa,
                    self._batch.ids[begin:end],
                    words,
                    scale,
                    positions,
                    token_types[0],
                    *self._norm("embeddings.LayerNorm"),
                )
                for begin, end in self._texts()
            ]
        )

    def attend(self, linears: Sequence[Linear], rows: Floats) -> Floats:
        projected = np.concatenate([self.linear(linear, rows) for linear in linears], axis=1)
        return np.concatenate(
            [
                _core.kernels.attention(
                    self.isa, "float32", projected[begin:end], self._config.heads
                )
                for begin, end in self._texts()
            ]
        )

    def add_norm(self, linear: Linear, inner: Floats, residual: Floats) -> Floats:
        norm = self._norm(f"{linear.name.removesuffix('dense')}LayerNorm")
        return _core.kernels.add_norm(self.isa, residual, self.linear(linear, inner), *norm)

    def linear(self, linear: Linear, rows: Floats, gelu: bool = False) -> Floats:
        weight = self._tensors[f"{linear.name}.weight"]
        bias = self._tensors[f"{linear.name}.bias"]
        everything = (0, len(rows)), (0, linear.out_features // 16)
        return _core.kernels.linear(
            self.isa, "float32", rows, weight, None, bias, None, gelu, *everything
        )

    def _norm(self, name: str) -> tuple[Floats, Floats, float]:
        weight, bias = (self._tensors[f"{name}.{part}"] for part in ("weight", "bias"))
        return weight, bias, self._config.layer_norm_eps

    def _texts(self) -> list[tuple[int, int]]:
        offsets = self._batch.offsets.tolist()
        return list(pairwise(offsets))
