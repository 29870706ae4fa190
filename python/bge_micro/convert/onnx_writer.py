"""Write an encoder as an ONNX graph in floats, with the inputs and outputs of the hub's exports.

Inputs: ``input_ids``, ``attention_mask``, ``token_type_ids``, int64 [batch, sequence]. Outputs:
``last_hidden_state`` float32 [batch, sequence, hidden] and ``sentence_embedding`` [batch, hidden],
pooled and, if the model does so, normalised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bge_micro import _core
from bge_micro.checkpoint.config import EncoderConfig
from bge_micro.checkpoint.dense import Dense
from bge_micro.checkpoint.tensors import DISTANCE_BIASES, WORDS, Linear, Tensors, layer_linears
from bge_micro.choices import Activation
from bge_micro.convert.onnx_graph import import_onnx

_OPSET = 17  # the first opset with LayerNormalization
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def write_onnx(
    file: IO[bytes],
    tensors: Tensors,
    config: EncoderConfig,
    pooling: str,
    normalize: bool,
    dense: Sequence[Dense] = (),
) -> None:
    """Write a graph.

    Args:
        file: Where to.
        tensors: All tensors in floats, under their BERT names.
        config: The sizes.
        pooling: One of `choices.POOLINGS`.
        normalize: Whether sentence embeddings get unit length.
        dense: The linear layers after the pooling.

    Raises:
        ImportError: The onnx package is not installed.
    """
    builder = _Builder(import_onnx(), tensors, config)
    vector = builder.pool(builder.encoder(), pooling)
    for layer in dense:
        vector = builder.dense(layer, vector)
    width = dense[-1].out_features if dense else config.hidden
    builder.finish(vector, width, normalize)
    file.write(builder.model().SerializeToString())


class _Builder:
    def __init__(self, onnx: Any, tensors: Tensors, config: EncoderConfig) -> None:
        self._onnx = onnx
        self._tensors = tensors
        self._config = config
        self._nodes: list[Any] = []
        self._biases = ""
        self._width = config.hidden
        self._constants: dict[str, NDArray[Any]] = {}

    def encoder(self) -> str:
        """Add the whole encoder; return the name of its result."""
        mask = self.node("Cast", "attention_mask", to=self._onnx.TensorProto.FLOAT)
        mask = self.node("Unsqueeze", mask, self.integers(1, 2))  # [batch, 1, 1, sequence]
        mask = self.node("Sub", self.scalar(1.0), mask)
        mask = self.node("Mul", mask, self.scalar(float(np.finfo(np.float32).min)))
        x = self._embed()
        for layer in range(self._config.layers):
            query, key, value, attention_output, up, down = layer_linears(self._config, layer)
            context = self._attend([self.linear(part, x) for part in (query, key, value)], mask)
            x = self._add_norm(attention_output, context, x)
            x = self._add_norm(down, self._gelu(self.linear(up, x)), x)
        return self.node("Identity", x, output="last_hidden_state")

    def pool(self, tokens: str, pooling: str) -> str:
        """Add the pooling."""
        mask = self.node("Cast", "attention_mask", to=self._onnx.TensorProto.FLOAT)
        mask = self.node("Unsqueeze", mask, self.integers(-1))
        axis = self.integers(1)
        if pooling == "cls":
            vector = self.node("Gather", tokens, self.constant(np.array(0)), axis=1)
        elif pooling == "max":
            absent = self.node("Equal", mask, self.scalar(0.0))
            masked = self.node("Where", absent, self.scalar(-math.inf), tokens)
            vector = self.node("ReduceMax", masked, axes=[1], keepdims=0)
        else:
            total = self.node("ReduceSum", self.node("Mul", tokens, mask), axis, keepdims=0)
            count = self.node(
                "Max", self.node("ReduceSum", mask, axis, keepdims=0), self.scalar(1e-9)
            )
            divisor = count if pooling == "mean" else self.node("Sqrt", count)
            vector = self.node("Div", total, divisor)
        return vector

    def dense(self, layer: Dense, vector: str) -> str:
        """Add a linear layer after the pooling."""
        weight = np.ascontiguousarray(layer.weight.T)
        vector = self.node("MatMul", vector, self.constant(weight))
        if layer.bias is not None:
            vector = self.node("Add", vector, self.constant(layer.bias))
        return self.activation(layer.activation, vector)

    def activation(self, name: Activation, vector: str) -> str:
        """Add what a dense layer's outputs go through."""
        if name == "identity":
            return vector
        if name == "gelu":
            return self._gelu(vector)
        return self.node({"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid"}[name], vector)

    def finish(self, vector: str, width: int, normalize: bool) -> None:
        """Add the sentence embedding, of `width` features."""
        self._width = width
        if normalize:
            length = self.node("ReduceL2", vector, axes=[-1], keepdims=1)
            vector = self.node("Div", vector, self.node("Max", length, self.scalar(1e-12)))
        self.node("Identity", vector, output="sentence_embedding")

    def linear(self, linear: Linear, x: str) -> str:
        """Add a linear layer, its matrix stored [in, out]."""
        weight = np.ascontiguousarray(self._tensors[f"{linear.name}.weight"].T)
        product = self.node("MatMul", x, self.constant(weight, f"{linear.name}.weight"))
        return self.node("Add", product, self.tensor(f"{linear.name}.bias"))

    def node(self, op_type: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add an operation; return its result's name."""
        output = output or f"{op_type.lower()}_{len(self._nodes)}"
        self._nodes.append(
            self._onnx.helper.make_node(op_type, inputs, [output], f"node_{output}", **attributes)
        )
        return output

    def constant(self, array: NDArray[Any], name: str | None = None) -> str:
        """Store an array; return its name."""
        name = name or f"constant_{len(self._constants)}"
        self._constants[name] = array
        return name

    def scalar(self, value: float) -> str:
        """Store a float."""
        return self.constant(np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """Store a list of integers."""
        return self.constant(np.array(values, np.int64))

    def tensor(self, name: str) -> str:
        """Store one of the model's tensors under its own name."""
        return self.constant(self._tensors[name], name)

    def model(self) -> Any:
        """Return the finished model."""
        helper, types = self._onnx.helper, self._onnx.TensorProto
        shape = ["batch", "sequence"]
        hidden = self._config.hidden
        graph = helper.make_graph(
            self._nodes,
            "encoder",
            [helper.make_tensor_value_info(name, types.INT64, shape) for name in _INPUTS],
            [
                helper.make_tensor_value_info("last_hidden_state", types.FLOAT, [*shape, hidden]),
                helper.make_tensor_value_info(
                    "sentence_embedding", types.FLOAT, ["batch", self._width]
                ),
            ],
            [self._onnx.numpy_helper.from_array(a, name) for name, a in self._constants.items()],
        )
        opset = [helper.make_opsetid("", _OPSET)]
        return helper.make_model(
            graph, opset_imports=opset, ir_version=8, producer_name="bge-micro"
        )

    def _embed(self) -> str:
        words = self.node("Gather", self.tensor(f"{WORDS}.weight"), "input_ids")
        table = self.tensor("embeddings.token_type_embeddings.weight")
        x = self.node("Add", words, self.node("Gather", table, "token_type_ids"))
        table = self.tensor("embeddings.position_embeddings.weight")
        x = self.node("Add", x, self.node("Gather", table, self._positions()))
        return self._norm("embeddings.LayerNorm", x)

    def _positions(self) -> str:
        """Add the row of each token in the table of positions, [1 or batch, sequence]."""
        if self._config.padding_id < 0:
            length = self.node("Shape", "input_ids", start=1)
            rows = self.constant(np.arange(self._config.positions)[np.newaxis])
            return self.node("Slice", rows, self.integers(0), length, self.integers(1))
        padding = self.integers(self._config.padding_id)
        real = self.node("Not", self.node("Equal", "input_ids", padding))
        real = self.node("Cast", real, to=self._onnx.TensorProto.INT64)
        count = self.node("CumSum", real, self.constant(np.array(1)))
        return self.node("Add", self.node("Mul", count, real), padding)

    def _attend(self, projected: list[str], mask: str) -> str:
        heads, size = self._config.heads, self._config.head_size
        query, key, value = (
            self.node("Reshape", part, self.integers(0, 0, heads, size)) for part in projected
        )
        query = self.node("Transpose", query, perm=[0, 2, 1, 3])
        key = self.node("Transpose", key, perm=[0, 2, 3, 1])
        value = self.node("Transpose", value, perm=[0, 2, 1, 3])
        scores = self.node("MatMul", query, key)
        scores = self.node("Div", scores, self.scalar(math.sqrt(size)))
        if self._config.distance_buckets:
            scores = self.node("Add", scores, self._distance_biases())
        probabilities = self.node("Softmax", self.node("Add", scores, mask), axis=-1)
        context = self.node("MatMul", probabilities, value)
        context = self.node("Transpose", context, perm=[0, 2, 1, 3])
        return self.node("Reshape", context, self.integers(0, 0, self._config.hidden))

    def _distance_biases(self) -> str:
        """Add the biases of scores, [heads, sequence, sequence], once for all layers."""
        if not self._biases:
            longest = self._config.max_tokens
            buckets = [_core.layers.distance_bucket(n) for n in range(-longest, longest)]
            length = self.node("Shape", "input_ids", start=1)
            places = self.constant(np.arange(longest))
            keys = self.node("Slice", places, self.integers(0), length)  # [sequence]
            queries = self.node("Unsqueeze", keys, self.integers(1))
            distances = self.node("Sub", self.node("Add", keys, self.integers(longest)), queries)
            rows = self.node("Gather", self.constant(np.array(buckets)), distances)
            biases = self.node("Gather", self.tensor(DISTANCE_BIASES), rows)
            self._biases = self.node("Transpose", biases, perm=[2, 0, 1])
        return self._biases

    def _gelu(self, x: str) -> str:
        erf = self.node("Erf", self.node("Div", x, self.scalar(math.sqrt(2.0))))
        product = self.node("Mul", x, self.node("Add", erf, self.scalar(1.0)))
        return self.node("Mul", product, self.scalar(0.5))

    def _add_norm(self, linear: Linear, inner: str, residual: str) -> str:
        total = self.node("Add", self.linear(linear, inner), residual)
        return self._norm(f"{linear.name.removesuffix('dense')}LayerNorm", total)

    def _norm(self, name: str, x: str) -> str:
        return self.node(
            "LayerNormalization",
            x,
            self.tensor(f"{name}.weight"),
            self.tensor(f"{name}.bias"),
            axis=-1,
            epsilon=self._config.layer_norm_eps,
        )
