"""The official int8 export converted to float32: the same weights for runtimes of float32.

Every integer product of the export becomes a MatMul of floats, every dequantised table a table of
floats; nothing else changes. The graph keeps the form that exporters have given BERT for years,
which the optimisers of ONNX Runtime and OpenVINO recognise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper


def write_float_onnx(quantized: Path, out: Path) -> None:
    """Write the float32 form of a dynamically quantised export."""
    model = onnx.load(str(quantized))
    graph = _FloatGraph(model.graph)
    for node in list(model.graph.node):
        if node.op_type == "MatMulInteger":
            graph.replace_product(node)
        elif node.op_type == "DequantizeLinear":
            graph.replace_table(node)
    graph.finish()
    onnx.checker.check_model(model)
    onnx.save(model, str(out))


class _FloatGraph:
    """A graph that is being changed: replacements are collected, then unused nodes are removed."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.arrays = {tensor.name: tensor for tensor in graph.initializer}
        self.makers = {name: node for node in graph.node for name in node.output}
        self.users: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def array(self, name: str) -> Any:
        return numpy_helper.to_array(self.arrays[name])

    def add_array(self, name: str, array: Any) -> str:
        self.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def replace_product(self, product: NodeProto) -> None:
        """MatMulInteger, Cast, Mul by both scales -> MatMul."""
        cast = self._user(product, "Cast")
        rescale = self._user(cast, "Mul")
        operands = [self._float_operand(name, product, rescale) for name in product.input[:2]]
        matmul = onnx.helper.make_node("MatMul", operands, [rescale.output[0]])
        matmul.name = product.name.removesuffix("_quant")
        self._put(rescale, matmul)

    def replace_table(self, dequantize: NodeProto) -> None:
        """Gather of bytes, DequantizeLinear -> Gather of floats."""
        codes, scale, zero_point = dequantize.input
        gather = self.makers[codes]
        table = self.array(gather.input[0]).astype(np.int16) - self.array(zero_point)
        name = gather.input[0].removesuffix("_quantized")
        self.add_array(name, table.astype(np.float32) * self.array(scale))
        inputs = [name, gather.input[1]]
        self._put(dequantize, onnx.helper.make_node("Gather", inputs, [dequantize.output[0]]))

    def finish(self) -> None:
        """Remove what no node uses any more."""
        wanted = {value.name for value in self.graph.output}
        kept = []
        for node in reversed(self.graph.node):  # in topological order, so users come first
            if wanted.intersection(node.output):
                wanted.update(node.input)
                kept.append(node)
        arrays = [tensor for tensor in self.graph.initializer if tensor.name in wanted]
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(reversed(kept))
        self.graph.initializer.extend(arrays)

    def _float_operand(self, name: str, product: NodeProto, rescale: NodeProto) -> str:
        if name not in self.arrays:  # codes of a DynamicQuantizeLinear: its input
            return str(self.makers[name].input[0])
        scales = next(self.makers[value] for value in rescale.input if value != self._cast(product))
        scale = next(value for value in scales.input if value in self.arrays)
        floats = self.array(name).astype(np.float32) * self.array(scale)
        return self.add_array(name.removesuffix("_quantized"), floats)

    def _cast(self, product: NodeProto) -> str:
        return str(self._user(product, "Cast").output[0])

    def _user(self, node: NodeProto, op_type: str) -> NodeProto:
        (user,) = self.users[node.output[0]]
        if user.op_type != op_type:
            raise ValueError(f"{node.name} is followed by {user.op_type}, expected {op_type}")
        return user

    def _put(self, old: NodeProto, new: NodeProto) -> None:
        position = list(self.graph.node).index(old)
        self.graph.node.remove(old)
        self.graph.node.insert(position, new)
