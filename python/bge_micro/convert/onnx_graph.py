"""Search an ONNX graph: what computes a value, from which inputs, and what is constant."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.file_content import load_content

if TYPE_CHECKING:
    from onnx import NodeProto

# Operations with data in the first input only; the others are shapes and axes.
_ONE_INPUT = ("Reshape", "Expand", "Unsqueeze", "Squeeze", "Transpose", "Slice", "Cast")
# Operations that keep the numbers of a constant input.
_PASSING = ("Identity", "Cast", "Unsqueeze", "Squeeze", "Reshape", "Flatten")
# Operations on constants that are computed here.
_FOLDED = {"Mul": np.multiply, "Add": np.add, "Sub": np.subtract}
# FLOAT, FLOAT16 and DOUBLE in ONNX.
_FLOAT_TYPES = (1, 10, 11)


@dataclass
class Origin:
    """What a value is computed from, as found by walking backwards.

    Attributes:
        stops: The given values at which the walk stopped.
        ops: The types of the operations on the way.
        inputs: The graph's inputs that were reached.
        tables: Constant matrices of floats of which rows were gathered on the way.
    """

    stops: set[str] = field(default_factory=set)
    ops: set[str] = field(default_factory=set)
    inputs: set[str] = field(default_factory=set)
    tables: set[str] = field(default_factory=set)


class OnnxGraph:
    """An ONNX graph, indexed by the names of its values.

    Attributes:
        path: The file.
        nodes: The operations, in the file's order: a value is computed before it is used.
        files: The file, and those beside it that hold data of its tensors.
        inputs: The names of its inputs.
        outputs: The names of its outputs.
    """

    def __init__(self, path: Path) -> None:
        """Read the file; needs the onnx package.

        Raises:
            ImportError: The onnx package is not installed.
            MissingFileError: The file does not exist.
            CheckpointError: The file is not an ONNX model.
        """
        onnx = import_onnx()
        content = load_content(path, map_file=False)
        try:
            model = onnx.load_model_from_string(bytes(content.data))
        except Exception as error:  # protobuf's DecodeError, which onnx does not export
            raise CheckpointError(f"{path}: not an ONNX model ({error}).") from error
        graph = model.graph
        self.path = path
        content.release()  # the model is a copy
        beside = [
            path.with_name(entry.value)
            for tensor in graph.initializer
            for entry in tensor.external_data
            if entry.key == "location" and Path(entry.value).name == entry.value
        ]
        present = [each for each in sorted({*beside}) if each.is_file()]
        self.files = (content, *(load_content(each, map_file=True) for each in present))
        self.nodes: list[NodeProto] = list(graph.node)
        self.outputs = [value.name for value in graph.output]
        self._opsets = list(model.opset_import)
        self._to_array = onnx.numpy_helper.to_array
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = {value.name for value in graph.input} - self._initializers.keys()
        self._producers = {name: node for node in self.nodes for name in node.output}
        self._consumers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)

    def producer(self, name: str) -> NodeProto | None:
        """Return the operation that computes a value; None for constants and inputs."""
        return self._producers.get(name)

    def consumers(self, name: str) -> list[NodeProto]:
        """Return the operations that use a value."""
        return self._consumers.get(name, [])

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return a value that is stored in the file, also reshaped or cast; None if it is not."""
        if name in self._initializers:
            return self._read(self._initializers[name], name)
        node = self.producer(name)
        if node is None:
            return None
        if node.op_type == "Constant":
            return self._constant_of(node, name)
        if node.op_type in _PASSING:
            array = self.constant(node.input[0])
            # Weights may be stored as integers and made floats by the graph itself.
            to_float = node.op_type == "Cast" and attribute(node, "to") in _FLOAT_TYPES
            if array is None or array.dtype.kind not in "iu" or not to_float:
                return array
            return array.astype(np.float32)
        if node.op_type in _FOLDED:
            first, second = (self.constant(name) for name in node.input)
            return None if first is None or second is None else _FOLDED[node.op_type](first, second)
        if node.op_type == "Transpose":
            array = self.constant(node.input[0])
            axes = attribute(node, "perm")
            return None if array is None else np.transpose(array, axes or None)
        return None

    def origin(
        self, value: str, stops: Collection[str], ends: Callable[[NodeProto], bool] | None = None
    ) -> Origin:
        """Walk backwards from a value through all operations.

        Args:
            value: The value to begin with.
            stops: Values to stop at.
            ends: True for an operation to stop at; its result is then a stop.
        """
        origin = Origin()
        seen, todo = set(), [value]
        while todo:
            name = todo.pop()
            if name in seen or not name:
                continue
            seen.add(name)
            if name in stops:
                origin.stops.add(name)
                continue
            if name in self.inputs:
                origin.inputs.add(name)
            node = self.producer(name)
            if node is None or node.op_type == "Constant":
                continue
            if ends is not None and ends(node):
                origin.stops.add(name)
                continue
            origin.ops.add(node.op_type)
            if node.op_type == "Shape" or _is_quantiser_fact(node, name):
                continue
            if node.op_type == "Gather":
                self._note_table(node.input[0], origin)
            todo += node.input[:1] if node.op_type in _ONE_INPUT else node.input
        return origin

    def steps(self, value: str, stop: str) -> list[NodeProto]:
        """Return the operations that a value depends on, in order, without those behind `stop`."""
        # Depth first: files that a tool has changed need not list an operation before it is used.
        steps: list[NodeProto] = []
        seen: set[str] = set()
        todo: list[str | NodeProto] = [value]
        while todo:
            each = todo.pop()
            if not isinstance(each, str):  # all that it needs has been listed
                steps.append(each)
                continue
            node = None if each == stop else self.producer(each)
            if node is not None and node.output[0] not in seen:
                seen.add(node.output[0])
                todo += [node, *node.input]
        return steps

    def run(
        self, nodes: list[NodeProto], output: str, feeds: dict[str, NDArray[Any]]
    ) -> NDArray[Any] | None:
        """Return what operations make of given values; None if onnx cannot run them.

        Args:
            nodes: The operations, in order.
            output: The value to return.
            feeds: The values of the graph's inputs, and of other values that are not computed.
        """
        onnx = import_onnx()
        from onnx.reference import ReferenceEvaluator

        helper = onnx.helper
        used = {name for node in nodes for name in node.input}
        given = {name: array for name, array in feeds.items() if name in used}
        type_of = helper.np_dtype_to_tensor_dtype
        graph = helper.make_graph(
            nodes,
            "part",
            [helper.make_tensor_value_info(n, type_of(a.dtype), None) for n, a in given.items()],
            [helper.make_empty_tensor_value_info(output)],
            [
                onnx.numpy_helper.from_array(self._read(self._initializers[name], name), name)
                for name in sorted(used & self._initializers.keys())
            ],
        )
        try:
            model = helper.make_model(graph, opset_imports=self._opsets)
            with np.errstate(all="ignore"):
                (result,) = ReferenceEvaluator(model).run([output], given)
        except Exception:  # operations raise anything for types and shapes that they cannot take
            return None
        return result if isinstance(result, np.ndarray) else None

    def error(self, fault: str) -> CheckpointError:
        """Return an error that names the file and says what kind of file is expected."""
        return CheckpointError(
            f"{self.path}: {fault}. Expected an ONNX export of a BERT encoder with GELU (erf), in "
            "floats or dynamically quantised."
        )

    def _note_table(self, name: str, origin: Origin) -> None:
        tensor = self._initializers.get(name)
        if tensor is not None and len(tensor.dims) == 2:
            origin.tables.add(name)

    def _constant_of(self, node: NodeProto, name: str) -> NDArray[Any] | None:
        """Return the value of a Constant operation, which has one attribute."""
        if len(node.attribute) != 1:
            return None
        found = node.attribute[0]
        if found.name == "value":
            return self._read(found.t, name)
        value = attribute(node, found.name)
        return None if value is None or isinstance(value, str) else np.asarray(value)

    def _read(self, tensor: Any, name: str) -> NDArray[Any]:
        try:
            # Large data may be in a second file; onnx opens none outside of the folder.
            array: NDArray[Any] = self._to_array(tensor, str(self.path.parent))
        except Exception as error:  # sizes that do not fit the data, a missing file
            raise self.error(f"tensor {name!r} cannot be read ({error})") from error
        return array


def _is_quantiser_fact(node: NodeProto, name: str) -> bool:
    """Tell a quantised value's scale and zero point, which are not data, from its codes."""
    return node.op_type == "DynamicQuantizeLinear" and name != node.output[0]


def attribute(node: NodeProto, name: str) -> Any:
    """Return an attribute of an operation: a number, bytes or list; None if it has none."""
    for found in node.attribute:
        if found.name == name:
            kinds = {1: found.f, 2: found.i, 3: found.s, 6: list(found.floats), 7: list(found.ints)}
            return kinds.get(found.type)
    return None


def import_onnx() -> Any:
    """Return the onnx package; an ImportError says how to install it."""
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError as error:
        raise ImportError(
            "ONNX files need the onnx package; install it with: pip install 'bge-micro[convert]'",
            name=error.name,
        ) from error
    return onnx
