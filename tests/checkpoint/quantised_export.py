"""An 8-bit ONNX export in the form of the official one, of a made-up model, with its offsets.

Not every machine has the official export. So its reader is also tested on this substitute: the
same operators around every matrix and table, with one scale each, made without ONNX Runtime.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors.numpy import save_file

from bge_micro.checkpoint import EncoderConfig
from bge_micro.convert.offsets import FORMULA
from bge_micro.convert.onnx_writer import write_onnx

Tensors = dict[str, NDArray[Any]]


class Cells(NamedTuple):
    """A matrix in 8 bits: integers less the zero point, and their one scale."""

    integers: NDArray[np.int16]
    step: np.float32


def write_quantised_export(path: Path, tensors: Tensors, config: EncoderConfig) -> dict[str, Cells]:
    """Write an export of a float model in 8 bits; return its integers by the tensors' names.

    Matrices are symmetric, tables have a zero point near the middle and reach 255, as in the
    official export.
    """
    with path.open("wb") as file:
        write_onnx(file, tensors, config, "mean", normalize=False)
    model = onnx.load(str(path))
    graph = model.graph
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    nodes: list[Any] = []
    cells: dict[str, Cells] = {}
    for node in graph.node:
        place = {"MatMul": 1, "Gather": 0}.get(node.op_type)
        name = "" if place is None else node.input[place]
        if name.endswith("_embeddings.weight"):
            cells[name] = _take_table(nodes, node, name, stored)
        elif name in stored and node.op_type == "MatMul":
            cells[name] = _take_matrix(nodes, node, name, stored)
        else:
            nodes.append(node)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(onnx.numpy_helper.from_array(a, name) for name, a in stored.items())
    path.write_bytes(model.SerializeToString())
    return cells


def _take_matrix(nodes: list[Any], node: Any, name: str, stored: Tensors) -> Cells:
    """MatMul to MatMulInteger of a dynamically quantised input, cast and rescaled."""
    matrix = stored.pop(name)  # [in, out]
    step = np.float32(np.abs(matrix).max() / 127)
    integers = np.rint(matrix / step).astype(np.int8)
    stored[f"{name}_quantized"] = integers
    stored[f"{name}_scale"] = np.array(step)
    stored[f"{name}_zero_point"] = np.array(0, np.int8)
    x, result = node.input[0], node.output[0]
    made = [f"{result}_{part}" for part in ("codes", "scale", "zero", "sum", "float", "scales")]
    codes, scale, zero, total, number, scales = made
    for op_type, inputs, outputs, options in (
        ("DynamicQuantizeLinear", [x], [codes, scale, zero], {}),
        (
            "MatMulInteger",
            [codes, f"{name}_quantized", zero, f"{name}_zero_point"],
            [total],
            {},
        ),
        ("Cast", [total], [number], {"to": onnx.TensorProto.FLOAT}),
        ("Mul", [scale, f"{name}_scale"], [scales], {}),
        ("Mul", [number, scales], [result], {}),
    ):
        nodes.append(onnx.helper.make_node(op_type, inputs, outputs, outputs[0], **options))
    return Cells(integers.T.astype(np.int16), step)


def _take_table(nodes: list[Any], node: Any, name: str, stored: Tensors) -> Cells:
    """Gather to Gather of 8-bit rows and DequantizeLinear."""
    table = stored.pop(name)
    least, most = min(float(table.min()), 0.0), max(float(table.max()), 0.0)
    step = np.float32((most - least) / 255)
    zero = round(-least / float(step))
    integers = np.clip(np.rint(table / step) + zero, 0, 255).astype(np.uint8)
    stored[f"{name}_quantized"] = integers
    stored[f"{name}_scale"] = np.array(step)
    stored[f"{name}_zero_point"] = np.array(zero, np.uint8)
    rows = f"{node.output[0]}_quantized"
    values = [rows, f"{name}_scale", f"{name}_zero_point"]
    nodes.append(onnx.helper.make_node("Gather", [f"{name}_quantized", node.input[1]], [rows]))
    nodes.append(onnx.helper.make_node("DequantizeLinear", values, [node.output[0]]))
    return Cells(integers.astype(np.int16) - np.int16(zero), step)


def offsets_of(tensors: Tensors, cells: dict[str, Cells]) -> Tensors:
    """Return where the float weights lie in the cells of their export."""
    found: Tensors = {}
    for name, (integers, step) in cells.items():
        places = 254 * (tensors[name].astype(np.float64) / step - integers)
        found[name] = np.clip(np.rint(places), -126, 126).astype(np.int8)
    return found


def write_offsets(path: Path, offsets: Tensors, export: Path, **metadata: str) -> Path:
    """Write an offsets file for an export; `metadata` replace what it says of itself."""
    digest = hashlib.sha256(export.read_bytes()).hexdigest()
    save_file(offsets, path, {"export_sha256": digest, "weight": FORMULA} | metadata)
    return path
