"""Questions to an ONNX graph: what makes a value, what uses it, what is constant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint.errors import CheckpointError, MissingFileError

if TYPE_CHECKING:
    from onnx import NodeProto


class OnnxGraph:
    """An ONNX graph, indexed by the names of its values.

    Attributes:
        path: The file.
        nodes: The operations, in the file's order.
    """

    def __init__(self, path: Path) -> None:
        """Read the file; needs the onnx package.

        Raises:
            ImportError: The onnx package is not installed.
            MissingFileError: The file is not there.
            CheckpointError: The file is not an ONNX model.
        """
        onnx = _import_onnx()
        try:
            graph = onnx.load(str(path), load_external_data=False).graph
        except FileNotFoundError:
            raise MissingFileError(f"{path}: the file is missing.") from None
        except Exception as error:  # protobuf's DecodeError, which onnx does not export
            raise CheckpointError(f"{path}: not an ONNX model ({error}).") from error
        self.path = path
        self.nodes: list[NodeProto] = list(graph.node)
        self._to_array = onnx.numpy_helper.to_array
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._producers = {name: node for node in self.nodes for name in node.output}
        self._consumers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)

    @property
    def initializer_names(self) -> set[str]:
        """The names of the graph's stored tensors."""
        return set(self._initializers)

    def array(self, name: str, dtype: str, dimensions: int) -> NDArray[Any]:
        """Return a stored tensor, after checking its dtype and number of dimensions."""
        if name not in self._initializers:
            raise self.error(f"tensor {name!r} is missing")
        try:
            array: NDArray[Any] = self._to_array(self._initializers[name])
        except Exception as error:  # sizes that do not fit the data, data kept elsewhere
            raise self.error(f"tensor {name!r} cannot be read ({error})") from error
        if array.dtype != np.dtype(dtype) or array.ndim != dimensions:
            raise self.error(
                f"tensor {name!r} is {array.dtype} with {array.ndim} dimensions, "
                f"expected {dtype} with {dimensions}"
            )
        return array

    def scalar(self, name: str, dtype: str) -> float:
        """Return a stored scalar, after checking its dtype."""
        return float(self.array(name, dtype, 0))

    def constant(self, name: str) -> float | None:
        """Return the value of a Constant operation that makes one number, else None."""
        node = self._producers.get(name)
        if node is None or node.op_type != "Constant" or len(node.attribute) != 1:
            return None
        array = self._to_array(node.attribute[0].t)
        return float(array.reshape(-1)[0]) if array.size == 1 else None

    def producer(self, name: str, op_type: str) -> NodeProto:
        """Return the operation that makes a value, after checking its type."""
        node = self._producers.get(name)
        if node is None or node.op_type != op_type:
            found = "nothing" if node is None else node.op_type
            raise self.error(f"value {name!r} is made by {found}, expected {op_type}")
        return node

    def consumer(self, name: str, op_type: str) -> NodeProto:
        """Return the only operation that uses a value, after checking its type."""
        nodes = self._consumers.get(name, [])
        if len(nodes) != 1 or nodes[0].op_type != op_type:
            found = [node.op_type for node in nodes]
            raise self.error(f"value {name!r} is used by {found}, expected one {op_type}")
        return nodes[0]

    def of_type(self, op_type: str) -> list[NodeProto]:
        """Return the operations of a type, in the file's order."""
        return [node for node in self.nodes if node.op_type == op_type]

    def error(self, fault: str) -> CheckpointError:
        """Return an error that names the file and says what kind of file is expected."""
        return CheckpointError(
            f"{self.path}: {fault}. Expected a dynamically quantised ONNX export of a BERT "
            "encoder, such as bge-micro-v2's onnx/model_quantized.onnx."
        )


def other_input(node: NodeProto, name: str) -> str:
    """Return the input of a two-input operation that is not `name`."""
    first, second = node.input
    return str(second if first == name else first)


def _import_onnx() -> Any:
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError as error:
        raise ImportError(
            "Reading ONNX files needs the onnx package; "
            "install it with: pip install 'bge-micro[convert]'"
        ) from error
    return onnx
