"""Read the weights of an ONNX export of a BERT encoder: floats or dynamically quantised.

There is one LayerNorm for the embeddings and two per layer. The graph is walked backwards from each
to the one before, and the operations between them must be exactly BERT's; any other graph is
refused. So a graph is recognised by what it computes, as exported or after an optimiser fused it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint.config import EncoderConfig, parse_config
from bge_micro.checkpoint.tensors import WORDS, check_arrays
from bge_micro.choices import Task
from bge_micro.convert.onnx_activation import is_gelu
from bge_micro.convert.onnx_attention import read_attention
from bge_micro.convert.onnx_graph import OnnxGraph, Origin
from bge_micro.convert.onnx_head import read_head
from bge_micro.convert.onnx_model import OnnxModel, Quantised
from bge_micro.convert.onnx_outputs import Outputs, Pooled, read_outputs
from bge_micro.convert.onnx_parts import (
    LinearPart,
    NormPart,
    Weights,
    dequantised,
    find_linears,
    find_norms,
    floats,
)

_MOVING = {"Add", "Cast", "Identity", "Dropout", "DynamicQuantizeLinear"}
_GELU = {*_MOVING, "Mul", "Div", "Erf", "Gelu", "BiasGelu"}


def read_onnx(path: Path, task: Task = "vectors") -> OnnxModel:
    """Read an ONNX export.

    Args:
        path: The file.
        task: "vectors" for an encoder, "scores" for a reranker.

    Returns:
        What it holds.

    Raises:
        ImportError: The onnx package is not installed.
        MissingFileError: The file is not there.
        CheckpointError: The file is no such export; the message says what does not fit.
    """
    return _Reader(OnnxGraph(path)).read(task)


@dataclass(frozen=True)
class _Table:
    """A stored table, its scale and zero point (none: floats), and whether ids look rows up."""

    name: str
    scale: str = ""
    zero_point: str = ""
    of_ids: bool = False


class _Reader:
    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.norms = list(find_norms(graph))
        self.linears = list(find_linears(graph))
        self.linear_of = {name: part for part in self.linears for name in part.outputs}
        self.norm_of = {norm.output: norm for norm in self.norms}
        self.stops = {*self.linear_of, *self.norm_of}
        self.heads: set[int] = set()
        self.tensors: dict[str, NDArray[Any]] = {}
        self.quantised: dict[str, Quantised] = {}

    def read(self, task: Task) -> OnnxModel:
        layers, rest = divmod(len(self.norms) - 1, 2)
        if layers < 1 or rest:
            raise self.graph.error(
                f"{len(self.norms)} LayerNorms are not one for the embeddings and two for each "
                "layer"
            )
        self._read_embeddings(self.norms[0])
        for layer in range(layers):
            self._read_layer(f"encoder.layer.{layer}", *self.norms[2 * layer : 2 * layer + 3])
        config = self._config(layers)
        tensors = check_arrays(self.tensors, config, self.graph.path)
        outputs = Outputs(Pooled("cls", normalize=False), tokens=False)  # of a reranker
        head = read_head(self.graph, self.linears, self.norms[-1])
        if task == "vectors":
            outputs, head = read_outputs(self.graph, self.norms, reranker=bool(head)), ()
        elif not head:
            raise self.graph.error(
                f"none of its outputs {', '.join(self.graph.outputs)} is made by two linear layers "
                "behind the encoder, as a reranker's is"
            )
        return OnnxModel(config, tensors, self.quantised, outputs, head, self.graph.files)

    def _read_layer(self, name: str, before: NormPart, middle: NormPart, after: NormPart) -> None:
        output = self._residual(middle, before, f"{name}.attention.output")
        self._read_attention(f"{name}.attention.self", output.input, before)
        down = self._residual(after, middle, f"{name}.output")
        up = self._gelu_input(down.input, f"{name}.intermediate")
        self._expect(self._origin(up.input), {middle.output}, _MOVING, f"{name}.intermediate")
        for part, linear in (("attention.output", output), ("intermediate", up), ("output", down)):
            self._take(f"{name}.{part}.dense", linear.weights, linear.bias)
        for part, norm in (("attention.output", middle), ("output", after)):
            self._take_norm(f"{name}.{part}.LayerNorm", norm)

    def _residual(self, norm: NormPart, before: NormPart, name: str) -> LinearPart:
        """Return the linear layer whose result and an earlier norm's make the input of a norm."""
        origin = Origin()
        for value in norm.inputs:
            found = self._origin(value)
            origin.stops |= found.stops
            origin.ops |= found.ops
            origin.tables |= found.tables
        linears = {
            id(self.linear_of[s]): self.linear_of[s] for s in origin.stops & {*self.linear_of}
        }
        if len(linears) != 1:
            raise self.graph.error(f"{name} is the sum of {len(linears)} linear layers' results")
        (linear,) = linears.values()
        expected = (origin.stops & {*linear.outputs}) | {before.output}
        self._expect(origin, expected, _MOVING, name)
        return linear

    def _gelu_input(self, value: str, name: str) -> LinearPart:
        origin = self._origin(value)
        linears = [self.linear_of[s] for s in origin.stops if s in self.linear_of]
        if not origin.ops & {"Erf", "Gelu", "BiasGelu"} or not linears:
            raise self.graph.error(
                f"{name} does not end in GELU (erf), but in {sorted(origin.ops)}"
            )
        self._expect(origin, origin.stops & {*linears[0].outputs}, _GELU, name)
        if not is_gelu(self.graph, value, *origin.stops):
            raise self.graph.error(f"{name} ends in another activation than GELU (erf)")
        return linears[0]

    def _read_attention(self, name: str, value: str, before: NormPart) -> None:
        part = read_attention(self.graph, self.linear_of, self.stops, value, name)
        self.heads.add(part.heads)
        kinds = ("query", "key", "value")
        if len(part.linears) == 1:
            (fused,) = part.linears
            third = len(fused.bias) // 3
            for index, kind in enumerate(kinds):
                rows = slice(index * third, index * third + third)
                weights = fused.weights.rows(rows.start, rows.stop)
                self._take(f"{name}.{kind}", weights, fused.bias[rows])
            self._expect(self._origin(fused.input), {before.output}, _MOVING, name)
            return
        for kind, linear in zip(kinds, part.linears, strict=True):
            self._expect(self._origin(linear.input), {before.output}, _MOVING, f"{name}.{kind}")
            self._take(f"{name}.{kind}", linear.weights, linear.bias)

    def _read_embeddings(self, norm: NormPart) -> None:
        node = self.graph.producer(norm.output)
        kinds = ["word", "position", "token_type"]
        if node is not None and node.op_type == "EmbedLayerNormalization":
            tables = [_Table(name) for name in node.input[2:5]]
        elif node is not None and node.op_type == "QEmbedLayerNormalization":
            tables = [_Table(*(node.input[place + n] for n in (0, 6, 11))) for place in (2, 3, 4)]
        else:
            tables = self._tables(norm)
            # The table that ids index has the words; of the other two, that of types is smaller.
            tables.sort(key=lambda t: (t.of_ids, len(self._values(t.name))), reverse=True)
        if len(tables) != 3 or not all(table.name for table in tables):
            raise self.graph.error(
                f"the embeddings are the sum of {len(tables)} tables, expected 3"
            )
        for kind, table in zip(kinds, tables, strict=True):
            self._take_table(f"embeddings.{kind}_embeddings", table)
        self._take_norm("embeddings.LayerNorm", norm)

    def _values(self, table: str) -> NDArray[Any]:
        array = self.graph.constant(table)
        if array is None or array.ndim != 2:
            raise self.graph.error(f"tensor {table!r} is no table of embeddings")
        return array

    def _tables(self, norm: NormPart) -> list[_Table]:
        """Return the tables of which rows are gathered for the embeddings."""
        tables: list[_Table] = []
        todo = [(name, "", "") for name in norm.inputs]  # a value, its scale and zero point
        while todo:
            name, scale, zero = todo.pop()
            node = self.graph.producer(name)
            kind = "nothing" if node is None else node.op_type
            if node is not None and kind == "Gather":
                index = self.graph.origin(node.input[1], set())
                if "CumSum" in index.ops:
                    raise self.graph.error("positions are counted from the ids, as in RoBERTa")
                tables.append(_Table(node.input[0], scale, zero, "input_ids" in index.inputs))
            elif node is not None and kind == "DequantizeLinear" and not scale:
                todo.append((node.input[0], *[*node.input[1:], ""][:2]))
            elif node is not None and kind == "Mul" and not scale:  # dequantised by hand
                stored = [each for each in node.input if self.graph.constant(each) is not None]
                if len(stored) != 1:
                    raise self.graph.error("the embeddings are made by Mul")
                todo += [(each, stored[0], "") for each in node.input if each != stored[0]]
            elif node is not None and kind in ("Add", "Cast"):
                todo += [(each, scale, zero) for each in node.input]
            else:
                raise self.graph.error(f"the embeddings are made by {kind}")
        return tables

    def _take_table(self, name: str, table: _Table) -> None:
        if not table.scale:
            self.tensors[f"{name}.weight"] = floats(self.graph, table.name, 2)
            return
        centred, scale = dequantised(self.graph, table.name, table.scale, table.zero_point)
        if scale.size != 1:
            raise self.graph.error(f"tensor {table.name!r} has {scale.size} scales, expected one")
        self.quantised[f"{name}.weight"] = Quantised(centred, scale)
        if name == WORDS and centred.min() >= -128 and centred.max() <= 127 and scale[0] > 0:
            self.tensors[f"{name}.weight"] = centred.astype(np.int8)
            self.tensors[f"{name}.scale"] = scale.copy()
            return
        # A product of two float32, rounded once, as ONNX defines DequantizeLinear.
        self.tensors[f"{name}.weight"] = centred.astype(np.float32) * scale[0]

    def _take(self, name: str, weights: Weights, bias: NDArray[np.float32]) -> None:
        self.tensors[f"{name}.weight"] = weights.values
        self.tensors[f"{name}.bias"] = bias
        if weights.scale is not None:
            self.tensors[f"{name}.weight_scale"] = weights.scale
            self.quantised[f"{name}.weight"] = Quantised(weights.values, weights.scale)

    def _take_norm(self, name: str, norm: NormPart) -> None:
        self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"] = norm.weight, norm.bias

    def _origin(self, value: str, ends: Any = None) -> Origin:
        return self.graph.origin(value, self.stops, ends)

    def _expect(self, origin: Origin, stops: set[str], ops: set[str], name: str) -> None:
        if origin.stops != stops or not origin.ops <= ops or origin.tables:
            strange = sorted(origin.ops - ops) or sorted(origin.stops ^ stops) or "a table"
            raise self.graph.error(f"{name} is not computed as in BERT: found {strange}")

    def _config(self, layers: int) -> EncoderConfig:
        epsilons = {norm.epsilon for norm in self.norms}
        if len(epsilons) != 1:
            raise self.graph.error("the LayerNorms do not share one constant epsilon")
        if len(self.heads) != 1:
            raise self.graph.error(f"the layers have {sorted(self.heads)} heads, expected the same")
        words = self.tensors[f"{WORDS}.weight"]
        fields = {
            "model_type": "bert",
            "num_hidden_layers": layers,
            "hidden_size": words.shape[1],
            "num_attention_heads": self.heads.pop(),
            "intermediate_size": len(self.tensors["encoder.layer.0.intermediate.dense.bias"]),
            "vocab_size": len(words),
            "max_position_embeddings": len(self.tensors["embeddings.position_embeddings.weight"]),
            "type_vocab_size": len(self.tensors["embeddings.token_type_embeddings.weight"]),
            # The graph has the float32 nearest to 1e-12; the shortest decimal is the value that was
            # meant.
            "layer_norm_eps": float(str(np.float32(epsilons.pop()))),
        }
        return parse_config(fields, str(self.graph.path))
