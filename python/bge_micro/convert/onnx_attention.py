"""Attention in an ONNX graph: its query, key and value, its heads, and the scale of its scores.

Exporters scale in different places: the scores, or queries and keys by a root each; by a number, or
by one that is computed from a shape. Only the product of all of them counts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.convert.onnx_graph import OnnxGraph, attribute
from bge_micro.convert.onnx_parts import INTEGER_PRODUCTS, LinearPart

if TYPE_CHECKING:
    from onnx import NodeProto

_PRODUCTS = ("MatMul", "FusedMatMul", *INTEGER_PRODUCTS)
# From scores to the weighted sum of values in one operation: ONNX Runtime's, and ONNX's own.
_FUSED = ("MultiHeadAttention", "Attention")
_SHAPING = {"Reshape", "Transpose", "Unsqueeze", "Squeeze", "Cast", "Identity", "Dropout"}
_SHAPING |= {"DynamicQuantizeLinear"}
# Scales are as precise as float16.
_TOLERANCE = 2e-3


class AttentionPart(NamedTuple):
    """The linear layers of query, key and value (or one that has all three), and the heads."""

    linears: tuple[LinearPart, ...]
    heads: int


def read_attention(
    graph: OnnxGraph, linear_of: dict[str, LinearPart], stops: set[str], value: str, name: str
) -> AttentionPart:
    """Read an attention.

    Args:
        graph: The graph.
        linear_of: The linear layers by each of their results.
        stops: The results of all linear layers and norms.
        value: The attention's result, as the next linear layer reads it.
        name: The attention's name, for error messages.

    Raises:
        CheckpointError: It is not BERT's attention; the message says what differs.
    """
    reached = graph.origin(value, stops).stops
    fused = [linear_of[stop] for stop in reached if stop in linear_of]
    if len(fused) == 1 and fused[0].heads:
        return AttentionPart((fused[0],), fused[0].heads)
    return _Reader(graph, linear_of, stops, name).read(value)


class _Reader:
    def __init__(
        self, graph: OnnxGraph, linear_of: dict[str, LinearPart], stops: set[str], name: str
    ) -> None:
        self.graph = graph
        self.linear_of = linear_of
        self.stops = stops
        self.name = name
        self.size: int | None = None  # features of a head, as soon as the graph has given them

    def read(self, value: str) -> AttentionPart:
        context = self._product(value, _SHAPING | {"Mul"})
        if context.op_type in _FUSED:
            operands = list(context.input[:3])
        else:
            scores = self._scores(context)
            operands = [*scores.input[:2], context.input[1]]
        query, key, values = (self._linear(operand) for operand in operands)
        hidden = len(query.bias)
        if context.op_type in _FUSED:
            heads = _number(context, "num_heads") or _number(context, "q_num_heads")
            self._agree(hidden // heads if heads else None)
        self._find_size(operands[0], hidden)
        scale = self._factor(operands[0]) * self._factor(operands[1])
        if context.op_type in _FUSED:
            scale *= self._scale_of_fused(context)
        else:
            scale *= self._scale_of_scores(scores)
        if self.size is None:
            self.size = round(1 / scale**2) if 1e-3 < scale < 1 else 0
        size, moved = self.size, self._factor(operands[2]) * _alpha(context)
        if size < 1 or hidden % size:
            raise self._error(f"has heads of size {size or 'unknown'} in {hidden} features")
        if abs(scale * math.sqrt(size) - 1) > _TOLERANCE or abs(moved - 1) > _TOLERANCE:
            raise self._error(
                f"multiplies scores by {scale:.6g} and values by {moved:.6g}, expected "
                f"{1 / math.sqrt(size):.6g} for heads of size {size}, and 1"
            )
        return AttentionPart((query, key, values), hidden // size)

    def _scores(self, context: NodeProto) -> NodeProto:
        """Return the product of queries and keys of which a softmax was taken."""
        origin = self.graph.origin(context.input[0], self.stops, self._is_product)
        if "Softmax" not in origin.ops or origin.tables:
            raise self._error("is not a plain softmax of scores")
        return self._product(context.input[0], None)

    def _product(self, value: str, allowed: set[str] | None) -> NodeProto:
        """Return the nearest product of two computed values that a value is made from."""
        origin = self.graph.origin(value, self.stops, self._is_product)
        nodes = [self.graph.producer(stop) for stop in origin.stops]
        if len(nodes) != 1 or nodes[0] is None or not self._is_product(nodes[0]):
            raise self._error(f"is not made of one product, but of {len(nodes)} values")
        if allowed is not None and not origin.ops <= allowed:
            raise self._error(
                f"is not computed as in BERT: found {', '.join(sorted(origin.ops - allowed))}"
            )
        return nodes[0]

    def _is_product(self, node: NodeProto) -> bool:
        if node.output[0] in self.stops or node.op_type not in (*_PRODUCTS, *_FUSED):
            return False
        return node.op_type in _FUSED or self.graph.constant(node.input[1]) is None

    def _linear(self, value: str) -> LinearPart:
        """Follow an operand back to its linear layer, and note what shapes say of its heads."""
        for node in self._way(value):
            value = node.input[self._data(node)]
        return self.linear_of[value]

    def _way(self, value: str) -> list[NodeProto]:
        """Return the operations from an operand back to its linear layer."""
        way: list[NodeProto] = []
        while value not in self.linear_of:
            node = self.graph.producer(value)
            if node is None or node.op_type not in {*_SHAPING, "Mul", "Div"} or len(way) > 50:
                found = "nothing" if node is None else node.op_type
                raise self._error(f"is not computed as in BERT: found {found}")
            way.append(node)
            value = node.input[self._data(node)]
        return way

    def _data(self, node: NodeProto) -> int:
        """Return which input has the data: of a factor and data, those that a linear layer made."""
        if node.op_type != "Mul":
            return 0
        reached = self.graph.origin(node.input[0], self.stops).stops
        return 0 if reached & self.linear_of.keys() else 1

    def _factor(self, value: str) -> float:
        """Return by what an operand is multiplied on the way from its linear layer."""
        factor = 1.0
        for node in self._way(value):
            if node.op_type in ("Mul", "Div"):
                factor *= self._factor_of(node, self._data(node))
        return factor

    def _factor_of(self, node: NodeProto, data: int) -> float:
        number = self._number(node.input[1 - data])
        if number is None or number == 0:
            raise self._error(f"scales by {node.input[1 - data]!r}, which is no known number")
        return number if node.op_type == "Mul" else 1 / number

    def _scale_of_scores(self, scores: NodeProto) -> float:
        """Return by what scores are multiplied before the softmax."""
        factor, value = _alpha(scores), scores.output[0]
        rescaled = scores.op_type != "MatMulInteger"
        for _ in range(50):
            users = [n for n in self.graph.consumers(value) if n.op_type != "Shape"]
            if len(users) != 1:
                break
            node = users[0]
            if node.op_type == "Softmax":
                return factor
            if node.op_type in ("Mul", "Div"):
                if rescaled:
                    factor *= self._factor_of(node, list(node.input).index(value))
                rescaled = True  # an integer product is multiplied by its operands' scales first
            elif node.op_type not in ("Add", "Where", "Cast", "Identity"):
                break
            value = node.output[0]
        raise self._error("is not a plain softmax of scores")

    def _scale_of_fused(self, node: NodeProto) -> float:
        others = ("unidirectional", "is_causal", "softcap", "kv_num_heads")
        wrong = [name for name in others[:3] if attribute(node, name)]
        if attribute(node, "kv_num_heads") != attribute(node, "q_num_heads"):
            wrong.append("kv_num_heads")
        if wrong or self.size is None:
            raise self._error(f"is not BERT's attention: {node.op_type} has {', '.join(wrong)}")
        return float(attribute(node, "scale") or 1 / math.sqrt(self.size))

    def _find_size(self, value: str, hidden: int) -> None:
        """Take the size of heads from the shape that queries get."""
        for node in self._way(value):
            if node.op_type == "Reshape":
                heads, size = self._last_two(node.input[1])
                self._agree(size if size > 0 else hidden // heads if heads > 0 else None)

    def _last_two(self, shape: str) -> tuple[int, int]:
        """Return the last two numbers of a shape, in part computed; -1 for unknown ones."""
        stored = self.graph.constant(shape)
        if stored is not None:
            numbers = [-1, -1, *map(int, stored.reshape(-1))]
            return numbers[-2], numbers[-1]
        concat = self.graph.producer(shape)
        if concat is None or concat.op_type != "Concat":
            return -1, -1
        numbers = [-1, -1]
        for part in concat.input:
            stored = self.graph.constant(part)
            numbers += [-1] if stored is None else map(int, stored.reshape(-1))
        return numbers[-2], numbers[-1]

    def _agree(self, size: int | None) -> None:
        if size is not None and self.size not in (None, size):
            raise self._error(f"has heads of size {self.size} and {size}")
        self.size = size if size is not None else self.size

    def _number(self, name: str) -> float | None:
        """Return a stored number, or one that is computed from numbers and the size of heads."""
        stored = self.graph.constant(name)
        node = self.graph.producer(name)
        if stored is not None or node is None:
            return float(stored.reshape(-1)[0]) if stored is not None and stored.size == 1 else None
        if node.op_type in ("Slice", "Gather", "Shape"):
            return self.size if self._sizes_in_shape(name) == [True] else None
        first = self._number(node.input[0])
        if node.op_type in _SHAPING or first is None:
            return first
        if node.op_type == "Sqrt":
            return math.sqrt(max(first, 0.0))
        second = self._number(node.input[1]) if node.op_type in ("Mul", "Div") else None
        if second is None:
            return None
        return first * second if node.op_type == "Mul" else first / second if second else None

    def _sizes_in_shape(self, name: str) -> list[bool]:
        """Tell for each number of a shape whether it is the size of a head; empty if not known."""
        node = self.graph.producer(name)
        if node is not None and node.op_type == "Shape":
            start, end = attribute(node, "start"), attribute(node, "end")
            return self._sizes_of(node.input[0])[start or 0 : end]
        if node is None or node.op_type not in ("Gather", "Slice"):
            return []
        numbers = self._sizes_in_shape(node.input[0])
        stored = [self.graph.constant(each) for each in node.input[1:3]]
        if any(each is None for each in stored):
            return []
        places = [list(map(int, each.reshape(-1))) for each in stored if each is not None]
        if node.op_type == "Slice":
            return numbers[slice(places[0][0], places[1][0])]
        return [numbers[place] for place in places[0] if -len(numbers) <= place < len(numbers)]

    def _sizes_of(self, value: str) -> list[bool]:
        """Tell for each axis of an operand whether it has the features of a head."""
        node = self.graph.producer(value)
        if node is None or value in self.linear_of:
            return []
        if node.op_type == "Reshape":
            stored = self.graph.constant(node.input[1])
            concat = self.graph.producer(node.input[1])
            rank = stored.size if stored is not None else len(concat.input) if concat else 0
            return [False] * (rank - 1) + [True]
        axes = self._sizes_of(node.input[self._data(node)])
        perm = attribute(node, "perm") if node.op_type == "Transpose" else range(len(axes))
        return [axes[axis] for axis in perm or [] if axis < len(axes)]

    def _error(self, fault: str) -> CheckpointError:
        return self.graph.error(f"{self.name} {fault}")


def _alpha(node: NodeProto) -> float:
    return float(attribute(node, "alpha") or 1.0)


def _number(node: NodeProto, name: str) -> int:
    return int(attribute(node, name) or 0)
