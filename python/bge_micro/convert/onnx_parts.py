"""The parts of an encoder in an ONNX graph: linear layers, norms, embeddings, plain or fused.

Names of tensors are never read, because exporters and optimisers change them
(``onnx::MatMul_418_quantized``). A matrix is recognised by its use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.convert.onnx_graph import OnnxGraph, attribute

if TYPE_CHECKING:
    from onnx import NodeProto

# Products of integers: those of ONNX, and those that ONNX Runtime fused with the next operations.
INTEGER_PRODUCTS = ("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
# Products with a matrix of 4-bit numbers, with one scale per block.
_COARSE_PRODUCTS = ("MatMulNBits", "MatMulBnb4")


@dataclass(frozen=True)
class Weights:
    """A matrix [out, in]: float32, or int8 in [-127, 127] with one scale per row."""

    values: NDArray[Any]
    scale: NDArray[np.float32] | None

    def rows(self, start: int, stop: int) -> Weights:
        """Return some of the rows."""
        scale = None if self.scale is None else self.scale[start:stop]
        return Weights(self.values[start:stop], scale)


@dataclass(frozen=True)
class LinearPart:
    """A linear layer.

    Attributes:
        input: The value it reads.
        outputs: Its results: without and with bias.
        weights: Its matrix.
        bias: float32 [out].
        heads: The number of heads of a fused attention, whose matrix has query, key and value;
            else None.
    """

    input: str
    outputs: tuple[str, ...]
    weights: Weights
    bias: NDArray[np.float32]
    heads: int | None = None


@dataclass(frozen=True)
class NormPart:
    """A LayerNorm: the values that it adds up and normalises, its result, its parameters."""

    inputs: tuple[str, ...]
    output: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    epsilon: float


def find_linears(graph: OnnxGraph) -> Iterator[LinearPart]:
    """Find all products with a constant matrix, in the graph's order."""
    for node in graph.nodes:
        inputs = [*node.input, *[""] * 8]
        kind = node.op_type
        if kind in _COARSE_PRODUCTS:
            raise graph.error(f"{node.name} ({kind}) holds its weights in fewer than 8 bits")
        if kind in INTEGER_PRODUCTS and graph.constant(inputs[1]) is None:
            continue  # a product inside attention: both operands are computed
        if kind in ("MatMul", "FusedMatMul", "Gemm"):
            matrix = _matrix(graph, inputs[1], transposed=bool(attribute(node, "transB")))
            if matrix is None:
                continue
            alpha = attribute(node, "alpha")
            if alpha not in (None, 1.0) or attribute(node, "transA"):
                raise graph.error(f"{node.name} scales or transposes its operands")
            yield _linear(graph, node, matrix, inputs[2] if kind == "Gemm" else "")
        elif kind == "MatMulInteger":
            yield _integer_linear(graph, node)
        elif kind in ("MatMulIntegerToFloat", "DynamicQuantizeMatMul"):
            scale, zero, bias = (3, 5, 6) if kind == "MatMulIntegerToFloat" else (2, 3, 4)
            matrix = _quantised(graph, inputs[1], inputs[scale], inputs[zero])
            yield _linear(graph, node, matrix, inputs[bias])
        elif kind == "QAttention":
            yield _attention(graph, node, _quantised(graph, inputs[1], inputs[4], inputs[7]))
        elif kind == "Attention" and node.domain == "com.microsoft":
            fused = _matrix(graph, inputs[1], transposed=False)
            if fused is None:
                raise graph.error(f"the weights of {node.name} are not stored in the file")
            yield _attention(graph, node, fused)


def find_norms(graph: OnnxGraph) -> Iterator[NormPart]:
    """Find all LayerNorms, in the graph's order."""
    for node in graph.nodes:
        if node.op_type == "LayerNormalization":
            yield _norm(graph, node, node.input[:1], node.input[1:3], attribute(node, "epsilon"))
        elif node.op_type == "SkipLayerNormalization":
            yield _norm(graph, node, node.input[:2], node.input[2:4], attribute(node, "epsilon"))
        elif node.op_type == "EmbedLayerNormalization":
            yield _norm(graph, node, [], node.input[5:7], attribute(node, "epsilon"))
        elif node.op_type == "QEmbedLayerNormalization":
            yield _quantised_norm(graph, node)
        elif node.op_type == "Sqrt":
            part = _norm_in_single_steps(graph, node)
            if part is not None:
                yield part


def floats(graph: OnnxGraph, name: str, dimensions: int) -> NDArray[np.float32]:
    """Return a stored tensor of 16- or 32-bit floats as float32."""
    array = graph.constant(name)
    if array is None:
        raise graph.error(f"tensor {name!r} is not stored in the file")
    if array.dtype not in (np.float32, np.float16) or array.ndim != dimensions:
        raise graph.error(
            f"tensor {name!r} is {array.dtype} with {array.ndim} dimensions, "
            f"expected floats with {dimensions}"
        )
    return array.astype(np.float32)


def dequantised(
    graph: OnnxGraph, values_name: str, scale_name: str, zero_name: str
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Return stored 8-bit integers minus their zero point, and one scale, or one per column."""
    values = graph.constant(values_name)
    scale = floats(graph, scale_name, 0 if _is_scalar(graph, scale_name) else 1)
    if values is None or values.dtype not in (np.int8, np.uint8) or values.ndim != 2:
        raise graph.error(f"tensor {values_name!r} is no matrix of 8-bit integers")
    zero = graph.constant(zero_name) if zero_name else np.zeros((), values.dtype)
    if zero is None or zero.dtype != values.dtype:
        raise graph.error(f"tensor {zero_name!r} is no zero point for {values_name!r}")
    if scale.size not in (1, values.shape[1]) or zero.size not in (1, values.shape[1]):
        raise graph.error(f"tensor {scale_name!r} has {scale.size} scales for {values.shape}")
    return values.astype(np.int16) - zero.astype(np.int16), scale.reshape(-1)


def _is_scalar(graph: OnnxGraph, name: str) -> bool:
    array = graph.constant(name)
    return array is not None and array.ndim == 0


def _matrix(graph: OnnxGraph, name: str, *, transposed: bool) -> Weights | None:
    """Return a stored matrix [in, out] (transposed: [out, in]); None if it is computed."""
    node = graph.producer(name)
    if node is not None and node.op_type == "DequantizeLinear":
        if graph.constant(node.input[0]) is None or transposed:
            return None
        return _quantised(graph, *[*node.input, ""][:3])
    array = graph.constant(name)
    if array is None or array.ndim != 2:
        return None
    matrix = floats(graph, name, 2)
    return Weights(np.ascontiguousarray(matrix if transposed else matrix.T), None)


def _quantised(graph: OnnxGraph, values_name: str, scale_name: str, zero_name: str) -> Weights:
    """Return a quantised matrix: its integers if they fit our format, else floats."""
    centred, scale = dequantised(graph, values_name, scale_name, zero_name)
    columns = np.broadcast_to(scale, centred.shape[1])
    if np.abs(centred).max(initial=0) <= 127 and (columns > 0).all():
        return Weights(np.ascontiguousarray(centred.T.astype(np.int8)), columns.copy())
    # The zero point is not in the middle: products of two floats, as ONNX defines them.
    return Weights(np.ascontiguousarray((centred.astype(np.float32) * columns).T), None)


def _integer_linear(graph: OnnxGraph, node: NodeProto) -> LinearPart:
    """Follow a product of integers to its scale: MatMulInteger, Cast, Mul by both scales."""
    cast = _only_consumer(graph, node.output[0], "Cast")
    rescale = _only_consumer(graph, cast.output[0], "Mul")
    scales = graph.producer(_other(rescale, cast.output[0]))
    if scales is None or scales.op_type != "Mul":
        raise graph.error(f"{node.name} is not rescaled by two scales")
    stored = [name for name in scales.input if graph.constant(name) is not None]
    quantize = graph.producer(node.input[0])
    if len(stored) != 1 or quantize is None or quantize.op_type != "DynamicQuantizeLinear":
        raise graph.error(f"{node.name} is not dynamically quantised")
    matrix = _quantised(graph, node.input[1], stored[0], [*node.input, ""][3])
    return _linear(graph, node, matrix, "", input=quantize.input[0], result=rescale.output[0])


def _linear(
    graph: OnnxGraph,
    node: NodeProto,
    weights: Weights,
    bias_name: str,
    *,
    input: str | None = None,
    result: str | None = None,
) -> LinearPart:
    out = len(weights.values)
    outputs = [result or node.output[0]]
    if bias_name:
        bias = floats(graph, bias_name, 1)
    else:
        bias, with_bias = _find_bias(graph, outputs[0], out)
        outputs += with_bias
    if bias.shape != (out,):
        raise graph.error(f"{node.name} has a bias of {bias.size} for {out} outputs")
    return LinearPart(input or node.input[0], tuple(outputs), weights, bias)


def _attention(graph: OnnxGraph, node: NodeProto, weights: Weights) -> LinearPart:
    """Read a fused attention as one linear layer: query, key and value, a third each."""
    heads = attribute(node, "num_heads")
    bias = floats(graph, node.input[2], 1)
    if len(weights.values) != 3 * weights.values.shape[1] or bias.shape != (len(weights.values),):
        raise graph.error(f"{node.name} is not made of three square matrices and their biases")
    scale = attribute(node, "scale")
    if attribute(node, "unidirectional") or attribute(node, "do_rotary") or scale:
        raise graph.error(f"{node.name} is not BERT's attention")
    return LinearPart(node.input[0], (node.output[0],), weights, bias, heads)


def _find_bias(graph: OnnxGraph, value: str, out: int) -> tuple[NDArray[np.float32], list[str]]:
    """Find what is added to a product, and the value of the sum if there is one."""
    users = graph.consumers(value)
    if len(users) == 1:
        node = users[0]
        if node.op_type == "Add" and _is_vector(graph, _other(node, value)):
            return floats(graph, _other(node, value), 1), [node.output[0]]
        if node.op_type in ("BiasGelu", "FastGelu") and len(node.input) > 1:
            return floats(graph, node.input[1], 1), []
        if node.op_type == "SkipLayerNormalization" and len(node.input) > 4 and node.input[4]:
            return floats(graph, node.input[4], 1), []
    return np.zeros(out, np.float32), []


def _is_vector(graph: OnnxGraph, name: str) -> bool:
    array = graph.constant(name)
    return array is not None and array.ndim == 1


def _norm(
    graph: OnnxGraph, node: NodeProto, inputs: Any, parameters: Any, epsilon: float | None
) -> NormPart:
    if len(parameters) < 2 or not all(parameters):
        raise graph.error(f"{node.name} has no weight or bias")
    weight, bias = (floats(graph, name, 1) for name in parameters)
    return NormPart(tuple(inputs), node.output[0], weight, bias, epsilon or 1e-5)


def _quantised_norm(graph: OnnxGraph, node: NodeProto) -> NormPart:
    """Read the norm of the fused embeddings, whose parameters are integers too."""
    parameters = []
    for place in (5, 6):
        values, scale, zero = (graph.constant(node.input[place + n]) for n in (0, 6, 11))
        if values is None or scale is None or zero is None or values.ndim != 1:
            raise graph.error(f"{node.name} has no weight or bias")
        centred = values.astype(np.int16) - zero.astype(np.int16)
        parameters.append(centred.astype(np.float32) * scale.astype(np.float32))
    epsilon = attribute(node, "epsilon") or 1e-5
    return NormPart((), node.output[0], parameters[0], parameters[1], epsilon)


def _norm_in_single_steps(graph: OnnxGraph, root: NodeProto) -> NormPart | None:
    """Follow Sqrt(mean of squares + epsilon) to the LayerNorm around it, if there is one."""
    total = graph.producer(root.input[0])
    if total is None or total.op_type != "Add":
        return None
    # A vector's length, the root of a sum of squares, may have a small number added too.
    if "ReduceMean" not in {node.op_type for node in map(graph.producer, total.input) if node}:
        return None
    epsilons = [graph.constant(name) for name in total.input]
    epsilon = next((e for e in epsilons if e is not None and e.size == 1), None)
    divide = _only_consumer(graph, root.output[0], "Div")
    centre = graph.producer(divide.input[0])
    if epsilon is None or centre is None or centre.op_type != "Sub":
        raise graph.error(f"{root.name} is not part of a LayerNorm")
    multiply = _only_consumer(graph, divide.output[0], "Mul")
    add = _only_consumer(graph, multiply.output[0], "Add")
    names = _other(multiply, divide.output[0]), _other(add, multiply.output[0])
    return _norm(graph, add, centre.input[:1], names, float(epsilon.reshape(-1)[0]))


def _only_consumer(graph: OnnxGraph, name: str, op_type: str) -> NodeProto:
    nodes = graph.consumers(name)
    if len(nodes) != 1 or nodes[0].op_type != op_type:
        found = [node.op_type for node in nodes]
        raise graph.error(f"value {name!r} is used by {found}, expected one {op_type}")
    return nodes[0]


def _other(node: NodeProto, name: str) -> str:
    """Return the input of a two-input operation that is not `name`."""
    return str(node.input[1] if node.input[0] == name else node.input[0])
