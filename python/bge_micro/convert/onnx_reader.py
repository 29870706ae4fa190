"""Read the weights of a dynamically quantised ONNX export of a BERT encoder.

Such an export stores each linear layer as int8 [in, out] with one scale, named after nothing in
particular (``onnx::MatMul_418_quantized``). What a matrix is follows from the graph: its product is
scaled and a bias is added to it, and the bias has kept its BERT name. Names, order and shapes must
agree, or the file is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint.config import EncoderConfig, parse_config
from bge_micro.checkpoint.tensors import WORDS, Tensors, all_linears
from bge_micro.convert.onnx_graph import OnnxGraph, other_input

if TYPE_CHECKING:
    from onnx import NodeProto

_LINEARS_PER_LAYER = 6
_CAST_TO_FLOAT = 1  # onnx.TensorProto.FLOAT

# Words have this zero point, so that uint8 minus zero point is int8.
_WORDS_ZERO_POINT = 128


def read_quantized_export(path: Path) -> tuple[EncoderConfig, Tensors]:
    """Read an ONNX export.

    Args:
        path: The file.

    Returns:
        The encoder's sizes, and its tensors under their BERT names, sorted: linear layers and words
        as the integers of the export, positions and token types as float32.

    Raises:
        ImportError: The onnx package is not installed.
        MissingFileError: The file is not there.
        CheckpointError: The file is no such export; the message says what does not fit.
    """
    graph = OnnxGraph(path)
    used: set[str] = set()
    tensors = _read_embeddings(graph, used)
    products = [node for node in graph.of_type("MatMulInteger") if _is_linear(graph, node)]
    names = []
    for product in products:
        name, layer_tensors = _read_linear(graph, product, used)
        names.append(name)
        tensors |= layer_tensors
    config = _read_config(graph, tensors, len(products))
    expected = [linear.name for linear in all_linears(config)]
    if names != expected:
        found, wanted = next(
            pair for pair in zip(names, expected, strict=True) if len(set(pair)) > 1
        )
        raise graph.error(f"the graph has layer {found!r} where {wanted!r} is expected")
    for name in sorted(graph.initializer_names - used):
        if "LayerNorm." not in name:
            raise graph.error(f"tensor {name!r} has no place in a BERT encoder")
        tensors[name] = graph.array(name, "float32", 1)
    return config, dict(sorted(tensors.items()))


def _is_linear(graph: OnnxGraph, product: NodeProto) -> bool:
    """Tell a layer's product from attention's own, whose operands are both computed."""
    return product.input[1] in graph.initializer_names


def _read_embeddings(graph: OnnxGraph, used: set[str]) -> dict[str, NDArray[Any]]:
    tensors: dict[str, NDArray[Any]] = {}
    for kind in ("word", "position", "token_type"):
        name = f"embeddings.{kind}_embeddings"
        values_name = f"{name}.weight_quantized"
        values = graph.array(values_name, "uint8", 2)
        gather = graph.consumer(values_name, "Gather")
        dequantize = graph.consumer(gather.output[0], "DequantizeLinear")
        _, scale_name, zero_point_name = dequantize.input
        scale = graph.array(scale_name, "float32", 0)
        zero_point = int(graph.scalar(zero_point_name, "uint8"))
        used |= {values_name, scale_name, zero_point_name}
        centred = values.astype(np.int16) - np.int16(zero_point)
        if name != WORDS:
            # A product of two float32, rounded once, as ONNX defines DequantizeLinear.
            tensors[f"{name}.weight"] = centred.astype(np.float32) * scale
            continue
        if zero_point != _WORDS_ZERO_POINT:
            raise graph.error(f"{name} has zero point {zero_point}, expected {_WORDS_ZERO_POINT}")
        tensors[f"{name}.weight"] = centred.astype(np.int8)
        tensors[f"{name}.scale"] = scale.reshape(1)
    return tensors


def _read_linear(
    graph: OnnxGraph, product: NodeProto, used: set[str]
) -> tuple[str, dict[str, NDArray[Any]]]:
    """Follow a product to its bias: MatMulInteger, Cast, Mul by both scales, Add."""
    activation, values_name, _, zero_point_name = product.input
    quantize = graph.producer(activation, "DynamicQuantizeLinear")
    cast = graph.consumer(product.output[0], "Cast")
    if [attribute.i for attribute in cast.attribute] != [_CAST_TO_FLOAT]:
        raise graph.error(f"{cast.name} does not cast to float32")
    rescale = graph.consumer(cast.output[0], "Mul")
    scales = graph.producer(other_input(rescale, cast.output[0]), "Mul")
    scale_name = other_input(scales, quantize.output[1])
    add = graph.consumer(rescale.output[0], "Add")
    bias_name = other_input(add, rescale.output[0])
    name = bias_name.removesuffix(".bias")
    if product.name.strip("/").replace("/", ".") != f"{name}.MatMul_quant":
        raise graph.error(f"operation {product.name!r} is followed by the bias {bias_name!r}")

    values = graph.array(values_name, "int8", 2)
    scale = graph.array(scale_name, "float32", 0)
    bias = graph.array(bias_name, "float32", 1)
    if graph.scalar(zero_point_name, "int8") != 0:
        raise graph.error(f"tensor {zero_point_name!r} is not zero")
    if values.min() < -127:
        raise graph.error(f"tensor {values_name!r} holds -128, expected values in [-127, 127]")
    if bias.shape != values.shape[1:]:
        raise graph.error(f"tensor {bias_name!r} has {bias.size} values for {values.shape}")
    used |= {values_name, scale_name, zero_point_name, bias_name}
    return name, {
        f"{name}.weight": np.ascontiguousarray(values.T),
        f"{name}.weight_scale": np.full(values.shape[1], scale, np.float32),
        f"{name}.bias": bias,
    }


def _read_config(graph: OnnxGraph, tensors: Tensors, linears: int) -> EncoderConfig:
    """Work the sizes out of shapes and constants, and check that the graph is what they imply."""
    layers, rest = divmod(linears, _LINEARS_PER_LAYER)
    if layers == 0 or rest:
        raise graph.error(f"{linears} linear layers are not {_LINEARS_PER_LAYER} for each layer")
    counts = {"MatMulInteger": linears + 2 * layers, "Softmax": layers, "Erf": layers}
    counts["Sqrt"] = 2 * layers + 1  # one in each LayerNorm
    for op_type, expected in counts.items():
        if len(graph.of_type(op_type)) != expected:
            found = len(graph.of_type(op_type))
            raise graph.error(f"{found} operations are {op_type}, expected {expected}")
    vocab, hidden = tensors[f"{WORDS}.weight"].shape
    ffn_name = "encoder.layer.0.intermediate.dense.bias"
    if ffn_name not in tensors:
        raise graph.error(f"tensor {ffn_name!r} is missing")
    fields = {
        "model_type": "bert",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": hidden // _head_size(graph),
        "intermediate_size": tensors[ffn_name].size,
        "vocab_size": vocab,
        "max_position_embeddings": tensors["embeddings.position_embeddings.weight"].shape[0],
        "type_vocab_size": tensors["embeddings.token_type_embeddings.weight"].shape[0],
        "layer_norm_eps": _layer_norm_eps(graph),
    }
    return parse_config(fields, str(graph.path))


def _head_size(graph: OnnxGraph) -> int:
    """Attention divides its scores by the square root of the head size, the same in every layer."""
    divisors = set()
    for softmax in graph.of_type("Softmax"):
        masked = graph.producer(softmax.input[0], "Add")
        scaled = graph.producer(masked.input[0], "Div")
        divisors.add(graph.constant(scaled.input[1]))
    divisor = divisors.pop() if len(divisors) == 1 else None
    head_size = 0 if divisor is None else round(divisor * divisor)
    if head_size < 1 or np.float32(np.sqrt(head_size)) != np.float32(divisor or 0):
        raise graph.error(f"attention scores are divided by {divisor}, not by a head size's root")
    return head_size


def _layer_norm_eps(graph: OnnxGraph) -> float:
    values = set()
    for root in graph.of_type("Sqrt"):
        values.add(graph.constant(graph.producer(root.input[0], "Add").input[1]))
    value = values.pop() if len(values) == 1 else None
    if value is None:
        raise graph.error("the LayerNorms do not share one constant epsilon")
    # The graph has float32's nearest to 1e-12; the shortest decimal for it is what was meant.
    return float(str(np.float32(value)))
