"""The classifier of a reranker in an ONNX export: the layers between the encoder and its logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro import _core
from bge_micro.checkpoint.dense import Dense
from bge_micro.choices import Activation
from bge_micro.convert.onnx_graph import OnnxGraph
from bge_micro.convert.onnx_parts import LinearPart, NormPart

# By the operations that only this activation has.
_OPERATIONS: dict[str, Activation] = {
    "Tanh": "tanh",
    "Relu": "relu",
    "Erf": "gelu",
    "Gelu": "gelu",
    "BiasGelu": "gelu",
}
# The largest difference between our layers and the graph's, relative to the largest logit: of
# floats, and of layers that round what they read to 8 bits.
_TOLERANCE, _TOLERANCE_IN_8_BITS = 1e-4, 0.05


def read_head(graph: OnnxGraph, linears: Sequence[LinearPart], last: NormPart) -> tuple[Dense, ...]:
    """Read the two linear layers behind an encoder, the first one of the first token.

    They are run on made-up token vectors, and the graph's result is compared with theirs.

    Args:
        graph: The graph.
        linears: All its linear layers.
        last: The encoder's last LayerNorm.

    Returns:
        The layers; none if the graph has no such output.
    """
    linear_of = {name: part for part in linears for name in part.outputs}
    for output in graph.outputs:
        if output not in linear_of:
            continue
        classifier = linear_of[output]
        origin = graph.origin(classifier.input, {*linear_of, last.output})
        before = {id(linear_of[s]): linear_of[s] for s in origin.stops & linear_of.keys()}
        activations = {_OPERATIONS[op] for op in origin.ops & _OPERATIONS.keys()}
        if len(before) != 1 or len(activations) != 1:
            continue
        (dense,), (activation,) = before.values(), activations
        head = (_layer(graph, dense, activation), _layer(graph, classifier, "identity"))
        if _agrees(graph, output, last, head, in_8_bits=classifier.weights.scale is not None):
            return head
    return ()


def _layer(graph: OnnxGraph, part: LinearPart, activation: Activation) -> Dense:
    weight = part.weights.values.astype(np.float32)
    if part.weights.scale is not None:
        weight = weight * part.weights.scale[:, np.newaxis]
    return Dense(np.ascontiguousarray(weight), part.bias, activation, graph.files[0])


def _agrees(
    graph: OnnxGraph, output: str, last: NormPart, head: tuple[Dense, Dense], *, in_8_bits: bool
) -> bool:
    rows = np.random.default_rng(6).standard_normal((4, 3, len(last.weight))).astype(np.float32)
    found = graph.run(graph.steps(output, last.output), output, {last.output: rows})
    expected: NDArray[Any] = rows[:, 0]
    for layer in head:
        if layer.weight.shape[1] != expected.shape[1]:
            return False
        sums = expected @ layer.weight.T + (0 if layer.bias is None else layer.bias)
        expected = _core.activate(sums.astype(np.float32), layer.activation)
    if found is None or found.shape != expected.shape:
        return False
    tolerance = _TOLERANCE_IN_8_BITS if in_8_bits else _TOLERANCE
    return bool((np.abs(found - expected) <= tolerance * np.abs(expected).max()).all())
