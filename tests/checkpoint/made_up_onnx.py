"""A made-up ONNX graph of the kind that the converter reads, to be damaged by tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bge_micro.checkpoint import EncoderConfig

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##b", "c", "."]
EXPECTED = EncoderConfig(2, 64, 4, 128, len(VOCAB), 16, 2, 1e-12)


class Export:
    """A graph with the operations of a dynamically quantised export that the reader follows."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(11)
        self.tensors: dict[str, NDArray[Any]] = {}
        self.nodes: list[Any] = []
        for kind, rows, zero_point in (
            ("word", 10, 128),
            ("position", 16, 127),
            ("token_type", 2, 127),
        ):
            self.embedding(f"embeddings.{kind}_embeddings", rows, zero_point)
        self.norm("embeddings.LayerNorm")
        for layer in range(EXPECTED.layers):
            prefix = f"encoder.layer.{layer}"
            for name in ("query", "key", "value"):
                self.linear(f"{prefix}.attention.self.{name}", 64, 64)
            self.attention(f"{prefix}.attention.self")
            self.linear(f"{prefix}.attention.output.dense", 64, 64)
            self.norm(f"{prefix}.attention.output.LayerNorm")
            self.linear(f"{prefix}.intermediate.dense", 64, 128)
            self.node("Erf", f"{prefix}.erf", ["x"], [f"{prefix}.erf"])
            self.linear(f"{prefix}.output.dense", 128, 64)
            self.norm(f"{prefix}.output.LayerNorm")

    def node(
        self, op_type: str, name: str, inputs: list[str], outputs: list[str], **more: Any
    ) -> None:
        self.nodes.append(onnx.helper.make_node(op_type, inputs, outputs, name=name, **more))

    def constant(self, name: str, value: float) -> str:
        tensor = onnx.numpy_helper.from_array(np.array(value, np.float32))
        self.node("Constant", name, [], [name], value=tensor)
        return name

    def embedding(self, name: str, rows: int, zero_point: int) -> None:
        values = self.rng.integers(0, 256, (rows, 64), np.uint8)
        values[0, :2] = 0, 255
        self.tensors[f"{name}.weight_quantized"] = values
        self.tensors[f"{name}.weight_scale"] = np.array(0.0123, np.float32)
        self.tensors[f"{name}.weight_zero_point"] = np.array(zero_point, np.uint8)
        self.node("Gather", f"{name}.gather", [f"{name}.weight_quantized", "ids"], [f"{name}.rows"])
        inputs = [f"{name}.rows", f"{name}.weight_scale", f"{name}.weight_zero_point"]
        self.node("DequantizeLinear", f"{name}.dequantize", inputs, [name])

    def linear(self, name: str, rows: int, columns: int) -> None:
        stored = f"onnx::MatMul_{len(self.tensors)}"  # the names say nothing, as in real exports
        values = self.rng.integers(-127, 128, (rows, columns), np.int8)
        self.tensors[f"{stored}_quantized"] = values
        self.tensors[f"{stored}_scale"] = np.array(self.rng.uniform(0.001, 0.1), np.float32)
        self.tensors[f"{stored}_zero_point"] = np.array(0, np.int8)
        self.tensors[f"{name}.bias"] = self.rng.normal(size=columns).astype(np.float32)
        path = "/" + name.replace(".", "/").replace("layer/", "layer.")
        quantised = [f"{path}.q", f"{path}.scale", f"{path}.zero"]
        self.node("DynamicQuantizeLinear", f"{path}.quantize", ["x"], quantised)
        self.node("Mul", f"{path}.scales", [quantised[1], f"{stored}_scale"], [f"{path}.scales"])
        inputs = [quantised[0], f"{stored}_quantized", quantised[2], f"{stored}_zero_point"]
        self.node("MatMulInteger", f"{path}/MatMul_quant", inputs, [f"{path}.product"])
        self.node("Cast", f"{path}.cast", [f"{path}.product"], [f"{path}.float"], to=1)
        self.node("Mul", f"{path}.mul", [f"{path}.float", f"{path}.scales"], [f"{path}.scaled"])
        self.node("Add", f"{path}.add", [f"{name}.bias", f"{path}.scaled"], [f"{path}.out"])

    def attention(self, name: str) -> None:
        for product in ("scores", "context"):  # both operands computed: no weights
            self.node(
                "MatMulInteger", f"{name}.{product}", ["x", "y", "z", "z"], [f"{name}.{product}"]
            )
        root = self.constant(f"{name}.root", np.sqrt(16))
        self.node("Div", f"{name}.div", [f"{name}.scores", root], [f"{name}.scaled"])
        self.node("Add", f"{name}.mask", [f"{name}.scaled", "mask"], [f"{name}.masked"])
        self.node("Softmax", f"{name}.softmax", [f"{name}.masked"], [f"{name}.probabilities"])

    def norm(self, name: str) -> None:
        self.tensors[f"{name}.weight"] = self.rng.normal(size=64).astype(np.float32)
        self.tensors[f"{name}.bias"] = self.rng.normal(size=64).astype(np.float32)
        eps = self.constant(f"{name}.eps", 1e-12)
        self.node("Add", f"{name}.add", [f"{name}.variance", eps], [f"{name}.sum"])
        self.node("Sqrt", f"{name}.sqrt", [f"{name}.sum"], [f"{name}.root"])

    def find(self, op_type: str, name: str = "") -> Any:
        return next(n for n in self.nodes if n.op_type == op_type and name in n.name)

    def save(self, path: Path) -> Path:
        initializers = [
            onnx.numpy_helper.from_array(array, name) for name, array in self.tensors.items()
        ]
        graph = onnx.helper.make_graph(self.nodes, "encoder", [], [], initializers)
        onnx.save(onnx.helper.make_model(graph), str(path))
        return path
