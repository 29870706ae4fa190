"""The size of attention heads, from the shape of queries and the scale of scores in a graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bge_micro.convert.onnx_graph import OnnxGraph

if TYPE_CHECKING:
    from onnx import NodeProto

    from bge_micro.convert.onnx_parts import LinearPart


def head_size(graph: OnnxGraph, name: str, scores: NodeProto, query: LinearPart) -> int:
    """Return the features of a head; all places in the graph that give it must agree.

    Args:
        graph: The graph.
        name: The attention's name, for the error message.
        scores: The product of queries and keys.
        query: The linear layer that makes the queries.

    Raises:
        CheckpointError: The graph does not give the size, contradicts itself, or does not divide
            the queries evenly.
    """
    sizes = {*_by_shape(graph, query), *_by_scale(graph, scores)}
    hidden = len(query.bias)
    if len(sizes) == 1:
        (size,) = sizes
        if size >= 1 and hidden % size == 0:
            return size
    raise graph.error(f"{name} has heads of size {sorted(sizes) or 'unknown'} in {hidden} features")


def _by_shape(graph: OnnxGraph, query: LinearPart) -> Iterator[int]:
    for output in query.outputs:
        for node in graph.consumers(output):
            if node.op_type != "Reshape":
                continue
            shape = graph.constant(node.input[1])
            concat = graph.producer(node.input[1])
            if shape is None and concat is not None and concat.op_type == "Concat":
                shape = graph.constant(concat.input[-1])
            if shape is not None and shape.size:
                yield int(shape.reshape(-1)[-1])


def _by_scale(graph: OnnxGraph, scores: NodeProto) -> Iterator[int]:
    """Scores are divided by the root of the head size; integer scores are rescaled before."""
    values = [scores.output[0]]
    if scores.op_type == "MatMulInteger":
        for op_type in ("Cast", "Mul"):
            users = [node for value in values for node in graph.consumers(value)]
            values = [node.output[0] for node in users if node.op_type == op_type]
    for value in values:
        for node in graph.consumers(value):
            factor = graph.constant(node.input[-1]) if node.op_type in ("Div", "Mul") else None
            if factor is None or factor.size != 1:
                continue
            root = float(factor.reshape(-1)[0])
            root = root if node.op_type == "Div" or root == 0 else 1 / root
            # A root that is not a number, or is absurd, counts as 0, which divides no size.
            yield round(root * root) if 0 < root < 1e6 else 0
