"""Whether steps of an ONNX graph compute GELU (erf)."""

from __future__ import annotations

import math

import numpy as np

from bge_micro.convert.onnx_graph import OnnxGraph

# The largest difference allowed, by the type of the numbers: GELU's values here reach 6, and those
# of its approximation by tanh differ by 5e-4.
_TOLERANCES = {"float32": 1e-5, "float16": 1e-2}


def is_gelu(graph: OnnxGraph, value: str, inner: str) -> bool:
    """Tell whether a value is GELU (erf) of another one, by running the steps between them.

    Operations of ONNX Runtime's own, which the onnx package cannot run, are known by their names.

    Args:
        graph: The graph.
        value: The value.
        inner: What the steps read: the result of a linear layer.
    """
    nodes = graph.steps(value, inner)
    x = np.linspace(-6, 6, 49)
    expected = [each * (1 + math.erf(each / math.sqrt(2))) / 2 for each in x]
    for dtype, tolerance in _TOLERANCES.items():
        found = graph.run(nodes, value, {inner: x.astype(dtype)})
        if found is not None:
            return bool(np.abs(found.astype(np.float64) - expected).max() <= tolerance)
    return any(
        node.domain == "com.microsoft" and node.op_type in ("Gelu", "BiasGelu") for node in nodes
    )
