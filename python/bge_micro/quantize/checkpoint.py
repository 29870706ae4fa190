"""Quantise all linear layers of a model, each for the inputs it gets to see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro import _core
from bge_micro.checkpoint.config import EncoderConfig
from bge_micro.checkpoint.tensors import Linear, Tensors, all_linears, is_quantized, layer_linears
from bge_micro.quantize.float_encoder import FloatEncoder
from bge_micro.quantize.ordered import gram
from bge_micro.quantize.rows import dequantize_rows, quantize_rows
from bge_micro.quantize.second_order import DEFAULT_ROUNDING, Rounding, round_second_order
from bge_micro.quantize.smoothing import smoothing_factor
from bge_micro.tokenization import RaggedBatch

Floats = NDArray[np.float32]

# Without texts, made-up ones show which features are large: so many words, drawn from the whole
# vocabulary. On all-MiniLM-L6-v2 more of them, and real texts, give the same mean cosine to 1e-5.
_SAMPLE_TEXTS, _SAMPLE_TOKENS = 8, 32


def quantize_checkpoint(
    tensors: Tensors,
    config: EncoderConfig,
    calibration: RaggedBatch | None = None,
    advance: Callable[[], object] = lambda: None,
    rounding: Rounding = DEFAULT_ROUNDING,
) -> Tensors:
    """Quantise every linear layer that is not quantised yet; all else stays as it is.

    Args:
        tensors: A checkpoint's tensors.
        config: Its sizes.
        calibration: Tokens of texts like those the model is for, some ten thousand: all inputs are
            smoothed, and weights rounded to second order. None: the inputs of attention and of the
            feed-forward network are smoothed, by made-up texts.
        advance: Called when a layer is done.
        rounding: How weights are rounded to second order.

    Returns:
        The tensors with int8 ``.weight``, float32 ``.weight_scale`` and, where inputs are smoothed,
        ``.input_factor`` for every linear layer; the same bits on every CPU.

    Raises:
        ValueError: There are no texts in `calibration`.
    """
    if calibration is not None and len(calibration.offsets) < 2:
        raise ValueError("calibration needs at least one text.")
    if is_quantized(tensors, config):
        return dict(tensors)
    result = dict(tensors)
    with _core.DefaultFloatMode():
        floats = dequantize_checkpoint(tensors, config)
        encoder = FloatEncoder(floats, config, calibration or _sample(config))
        rows = encoder.embed()

        def quantize(group: Sequence[Linear], inputs: Floats, smooth: bool) -> None:
            # A layer that is quantised already stays, and with it what reads the same input.
            todo = [n for n in group if tensors[f"{n.name}.weight"].dtype != np.int8]
            factor = None
            if len(todo) == len(group) and (smooth or calibration is not None):
                weights = [floats[f"{linear.name}.weight"] for linear in group]
                peaks = np.abs(inputs).max(axis=0)
                # What query, key and value read has the largest outliers, and is the most to lose.
                factor = smoothing_factor(peaks, weights, strong=len(group) == 3)
            moments = None
            if calibration is not None and todo:
                moments = gram(inputs if factor is None else inputs * factor, encoder.isa)
            result.update(_quantize_group(todo, tensors, factor, moments, rounding))

        for layer in range(config.layers):
            query, key, value, attention_output, up, down = layer_linears(config, layer)
            quantize([query, key, value], rows, smooth=True)
            context = encoder.attend([query, key, value], rows)
            quantize([attention_output], context, smooth=False)
            rows = encoder.add_norm(attention_output, context, rows)
            quantize([up], rows, smooth=True)
            inner = encoder.linear(up, rows, gelu=True)
            quantize([down], inner, smooth=False)
            if layer + 1 < config.layers:
                rows = encoder.add_norm(down, inner, rows)
            advance()
    return result


def _quantize_group(
    linears: Sequence[Linear],
    tensors: Tensors,
    factor: Floats | None,
    moments: Any,
    rounding: Rounding,
) -> dict[str, NDArray[Any]]:
    """Quantise linear layers that read the same input."""
    result: dict[str, NDArray[Any]] = {}
    for linear in linears:
        weight = tensors[f"{linear.name}.weight"]
        if factor is not None:
            weight = weight / factor
            result[f"{linear.name}.input_factor"] = factor
        values, scale = (
            quantize_rows(weight)
            if moments is None
            else round_second_order(weight, moments, rounding)
        )
        result[f"{linear.name}.weight"] = values
        result[f"{linear.name}.weight_scale"] = scale
    return result


def _sample(config: EncoderConfig) -> RaggedBatch:
    """Make texts of words from all over the vocabulary."""
    length = min(_SAMPLE_TOKENS, config.max_tokens)
    steps = np.arange(_SAMPLE_TEXTS * length, dtype=np.uint64)
    # Knuth's multiplicative hash, 2^32 over the golden ratio: scattered, and the same everywhere.
    ids = (steps * np.uint64(2654435761)) % np.uint64(2**32) % np.uint64(config.vocab)
    offsets = np.arange(_SAMPLE_TEXTS + 1, dtype=np.int64) * length
    return RaggedBatch(ids.astype(np.int32), offsets, np.zeros(_SAMPLE_TEXTS, np.bool_))


def dequantize_checkpoint(tensors: Tensors, config: EncoderConfig) -> Tensors:
    """Turn every quantised linear layer into float32; all else stays as it is.

    Args:
        tensors: A checkpoint's tensors.
        config: Its sizes.

    Returns:
        The tensors, with float32 ``.weight`` and without scales and input factors for all linears.
    """
    result = dict(tensors)
    for linear in all_linears(config):
        if tensors[f"{linear.name}.weight"].dtype == np.int8:
            result[f"{linear.name}.weight"] = dequantize_rows(
                tensors[f"{linear.name}.weight"],
                result.pop(f"{linear.name}.weight_scale"),
                result.pop(f"{linear.name}.input_factor", None),
            )
    return result
