"""What an ONNX export computes after the encoder: pooling, unit length, or something else.

Every exporter writes pooling in steps of its own. So the steps after the last LayerNorm are run on
made-up token vectors, and their results are compared with those of each pooling that we have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bge_micro.choices import POOLINGS
from bge_micro.convert.onnx_graph import OnnxGraph
from bge_micro.convert.onnx_parts import NormPart

if TYPE_CHECKING:
    from onnx import NodeProto

# Token counts of the made-up texts; up to the longest, the rest is padding.
_COUNTS = (6, 4, 1)
# The largest difference to a pooling, relative to its largest value, in float32 and float16.
_TOLERANCES = {"float32": 1e-4, "float16": 1e-2}
# BERT's pooler: a linear layer of the first token, then Tanh. Sentence vectors do not use it.
_POOLER_STEPS = {"Add", "Cast", "Dropout", "DynamicQuantizeLinear", "DynamicQuantizeMatMul"}
_POOLER_STEPS |= {"Constant", "Gather", "Gemm", "Identity", "MatMul", "MatMulInteger", "Mul"}
_POOLER_STEPS |= {"MatMulIntegerToFloat", "Reshape", "Shape", "Slice", "Squeeze", "Tanh"}
# The name that sentence-transformers gives to a model's vectors.
_VECTORS = "sentence_embedding"


class Pooled(NamedTuple):
    """A pooling, one of `POOLINGS`, and whether its vectors get unit length."""

    pooling: str
    normalize: bool


_Kind = Pooled | Literal["tokens", "unused", "other"]


class Outputs(NamedTuple):
    """What an export gives.

    Attributes:
        pooled: How its vectors are made; None if it gives token embeddings only.
        tokens: Whether it gives token embeddings, which can be pooled in any way.
    """

    pooled: Pooled | None
    tokens: bool

    def choose(self, pooling: str | None, normalize: bool | None) -> Pooled:
        """Return how to pool: as the caller says (None: not said), else as the export does.

        Raises:
            ValueError: The export gives pooled vectors only, and pools in another way.
        """
        own = self.pooled or Pooled("mean", normalize=False)
        wanted = Pooled(pooling or own.pooling, own.normalize if normalize is None else normalize)
        if wanted != own and not self.tokens:
            raise ValueError(
                f"pooling is {wanted.pooling!r} and normalize {wanted.normalize}, but the export's "
                f"only output has {own.pooling!r} and {own.normalize}; leave both out to take them."
            )
        return wanted


def read_outputs(graph: OnnxGraph, norms: list[NormPart], *, reranker: bool = False) -> Outputs:
    """Find out what a graph does with the encoder's result.

    Args:
        graph: The graph.
        norms: The encoder's LayerNorms in order; the last one gives its result.
        reranker: Whether the graph has a reranker's classifier, for the error message.

    Raises:
        CheckpointError: An output is neither token embeddings nor pooled in a way that we have; the
            message names it and the operations that make it.
    """
    found = {name: _kind(graph, name, norms) for name in graph.outputs}
    pooled = {name: kind for name, kind in found.items() if isinstance(kind, Pooled)}
    tokens = "tokens" in found.values()
    other = [name for name, kind in found.items() if kind == "other"]
    if (other and not pooled) or _VECTORS in other or not (pooled or tokens):
        named = "; ".join(
            _described(graph, name, norms[-1].output) for name in other or graph.outputs
        )
        raise graph.error(
            f"{named}. That is neither the encoder's result nor its pooling ({', '.join(POOLINGS)})"
            ", with or without unit length"
            + ("; it is a reranker, which CrossEncoder loads" if reranker else "")
        )
    if _VECTORS in pooled:
        return Outputs(pooled[_VECTORS], tokens)
    if len({*pooled.values()}) > 1:
        raise graph.error(f"its outputs {', '.join(pooled)} are pooled in different ways")
    return Outputs(next(iter(pooled.values()), None), tokens)


def _kind(graph: OnnxGraph, name: str, norms: list[NormPart]) -> _Kind:
    last = norms[-1].output
    nodes = graph.steps(name, last)
    made = {value for node in nodes for value in node.output}
    if any(norm.output in made for norm in norms[:-1]):
        # A hidden state or attention of an earlier layer, or several layers put together.
        alone = all(last not in node.input for node in nodes)
        return "unused" if alone and name != _VECTORS else "other"
    kind = _try(graph, name, norms[-1], nodes)
    if kind == "other" and name != _VECTORS and nodes[-1].op_type == "Tanh":
        return "unused" if {node.op_type for node in nodes} <= _POOLER_STEPS else "other"
    return kind


def _try(graph: OnnxGraph, name: str, last: NormPart, nodes: list[NodeProto]) -> _Kind:
    """Run the steps from the encoder's result to an output, and compare what comes out."""
    masked = any(value in graph.inputs for node in nodes for value in node.input)
    # Steps that read no input, as in files for one text at a time, cannot know of padding.
    counts = np.array(_COUNTS if masked else [max(_COUNTS)] * len(_COUNTS))
    mask = np.arange(max(_COUNTS)) < counts[:, np.newaxis]
    rows = np.random.default_rng(5).normal(-0.5, 1.0, (*mask.shape, len(last.weight)))
    feeds = {value: mask.astype(np.int64) for value in graph.inputs}
    for dtype, tolerance in _TOLERANCES.items():
        tokens = rows.astype(dtype)
        result = graph.run(nodes, name, feeds | {last.output: tokens}) if nodes else tokens
        if result is None:
            continue
        if result.shape == tokens.shape and _close(result[mask], tokens[mask], tolerance):
            return "tokens"
        for pooling in POOLINGS:
            vectors = _pool(rows, mask, pooling)
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            for normalize, expected in ((False, vectors), (True, vectors / lengths)):
                if _close(result, expected, tolerance):
                    return Pooled(pooling, normalize)
    return "other"


def _pool(rows: NDArray[np.float64], mask: NDArray[np.bool_], pooling: str) -> NDArray[np.float64]:
    present = mask[:, :, np.newaxis]
    counts = present.sum(axis=1)
    vectors: dict[str, NDArray[np.float64]] = {
        "cls": rows[:, 0],
        "max": np.where(present, rows, -np.inf).max(axis=1),
        "mean": (rows * present).sum(axis=1) / counts,
        "mean_sqrt_len_tokens": (rows * present).sum(axis=1) / np.sqrt(counts),
    }
    return vectors[pooling]


def _close(found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> bool:
    if found.shape != expected.shape:
        return False
    bound = tolerance * float(np.abs(expected).max())
    return bool((np.abs(found.astype(np.float64) - expected) <= bound).all())


def _described(graph: OnnxGraph, name: str, last: str) -> str:
    """Name an output and the operations that make it, with the sizes of stored matrices."""
    steps: list[str] = []
    for node in graph.steps(name, last):
        matrices = [graph.constant(value) for value in node.input if "MatMul" in node.op_type]
        matrices += [graph.constant(value) for value in node.input if node.op_type == "Gemm"]
        shapes = [
            list(matrix.shape) for matrix in matrices if matrix is not None and matrix.ndim > 1
        ]
        step = f"{node.op_type} {shapes[0]}" if shapes else node.op_type
        if step not in steps and node.op_type != "Constant":
            steps.append(step)
    more = f" and {len(steps) - 12} more" if len(steps) > 12 else ""
    return f"output {name!r} is made by {', '.join(steps[:12]) or 'nothing'}{more}"
