"""What ONNX exports compute after the encoder: converted where it is ours, else refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.tiny_model import CONFIG, tiny_tensors
from bge_micro import SentenceTransformer
from bge_micro.checkpoint import CheckpointError, load_folder
from bge_micro.choices import POOLINGS
from bge_micro.convert import convert_onnx
from bge_micro.convert.onnx_reader import read_onnx
from bge_micro.convert.onnx_writer import write_onnx

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")

TEXTS = ["a b c d", "e f, g. h", "", "a", "abcb dcb . a b c d e f g h" * 2]
FACTS = {"repo_id": "org/tiny", "revision": "main", "compute_type": "float32"}
HIDDEN = CONFIG.hidden


class Tail:
    """The encoder's graph without its own pooling, to which a test adds steps."""

    def __init__(self, path: Path) -> None:
        with path.open("wb") as file:
            write_onnx(file, tiny_tensors(), CONFIG, "mean", normalize=False)
        self.path = path
        self.model = onnx.load(str(path))
        self.count = 0
        graph = self.model.graph
        last = next(n for n, node in enumerate(graph.node) if node.output[0] == "last_hidden_state")
        del graph.node[last + 1 :], graph.output[:]

    def __call__(self, op_type: str, *inputs: Any, name: str | None = None, **options: Any) -> str:
        """Add a step; arrays among its inputs are stored. Return its result's name."""
        names = [value if isinstance(value, str) else self.store(value) for value in inputs]
        self.count += 1
        name = name or f"tail_{self.count}"
        node = onnx.helper.make_node(op_type, names, [name], f"node_{name}", **options)
        self.model.graph.node.append(node)
        return name

    def store(self, value: Any) -> str:
        array = np.asarray(value)
        self.count += 1
        name = f"stored_{self.count}"
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        self.model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        return name

    def save(self, *outputs: str) -> Path:
        make = onnx.helper.make_tensor_value_info
        self.model.graph.output.extend(make(name, onnx.TensorProto.FLOAT, None) for name in outputs)
        self.path.write_bytes(self.model.SerializeToString())
        return self.path


@pytest.fixture
def tail(tmp_path: Path) -> Tail:
    return Tail(tmp_path / "model.onnx")


def torch_mean(add: Tail) -> str:
    """Take the mean as sentence-transformers does, exported by torch."""
    mask = add("Unsqueeze", "attention_mask", np.array([-1]))
    mask = add("Expand", mask, add("Shape", "last_hidden_state"))
    mask = add("Cast", mask, to=onnx.TensorProto.FLOAT)
    total = add("ReduceSum", add("Mul", "last_hidden_state", mask), np.array([1]), keepdims=0)
    count = add("Clip", add("ReduceSum", mask, np.array([1]), keepdims=0), 1e-9)
    return add("Div", total, count)


def mean_by_product(add: Tail) -> str:
    """Multiply by a row of weights, one a token."""
    mask = add("Cast", "attention_mask", to=onnx.TensorProto.FLOAT)
    weights = add("Div", mask, add("ReduceSum", mask, np.array([1]), keepdims=1))
    row = add("Unsqueeze", weights, np.array([1]))
    return add("Squeeze", add("MatMul", row, "last_hidden_state"), np.array([1]))


def mean_from_ids(add: Tail) -> str:
    """Find the padding in the ids, as files without a mask do."""
    present = add("Not", add("Equal", "input_ids", np.array(0)))
    mask = add("Unsqueeze", add("Cast", present, to=onnx.TensorProto.FLOAT), np.array([2]))
    total = add("ReduceSum", add("Mul", "last_hidden_state", mask), np.array([1]), keepdims=0)
    return add("Div", total, add("ReduceSum", mask, np.array([1]), keepdims=0))


def cls_by_gather(add: Tail) -> str:
    return add("Gather", "last_hidden_state", np.array(0), axis=1)


def cls_by_slice(add: Tail) -> str:
    first = add("Slice", "last_hidden_state", np.array([0]), np.array([1]), np.array([1]))
    return add("Squeeze", add("Identity", first), np.array([1]))


def largest(add: Tail) -> str:
    mask = add("Unsqueeze", add("Cast", "attention_mask", to=onnx.TensorProto.BOOL), np.array([-1]))
    return add("ReduceMax", add("Where", mask, "last_hidden_state", -1e9), axes=[1], keepdims=0)


def mean_sqrt(add: Tail) -> str:
    mask = add("Cast", "attention_mask", to=onnx.TensorProto.FLOAT)
    count = add("ReduceSum", mask, np.array([1]), keepdims=1)
    return add("Mul", torch_mean(add), add("Sqrt", add("Max", count, 1e-9)))


def torch_norm(add: Tail, vectors: str) -> str:
    length = add("Clip", add("ReduceL2", vectors, axes=[1], keepdims=1), 1e-12)
    return add("Div", vectors, add("Expand", length, add("Shape", vectors)))


def norm_operator(add: Tail, vectors: str) -> str:
    return add("LpNormalization", vectors, axis=-1, p=2)


def norm_in_steps(add: Tail, vectors: str) -> str:
    """Add a small number under the root, which must not be taken for a LayerNorm."""
    squares = add("ReduceSum", add("Pow", vectors, 2.0), np.array([-1]), keepdims=1)
    return add("Div", vectors, add("Sqrt", add("Add", squares, 1e-12)))


POOLED = {
    torch_mean: "mean",
    mean_by_product: "mean",
    mean_from_ids: "mean",
    cls_by_gather: "cls",
    cls_by_slice: "cls",
    largest: "max",
    mean_sqrt: "mean_sqrt_len_tokens",
}
NORMS = [None, torch_norm, norm_operator, norm_in_steps]


def runtime_vectors(path: Path, model: SentenceTransformer, output: str) -> Any:
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install '.[test]'")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run([output], dict(model.tokenize(TEXTS)))[0]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("pool", POOLED)
def test_pooling_and_norm_are_those_of_the_file(
    tail: Tail,
    vocab_path: Path,
    tmp_path: Path,
    pool: Callable[[Tail], str],
    norm: Callable[[Tail, str], str] | None,
) -> None:
    vectors = pool(tail)
    path = tail.save(vectors if norm is None else norm(tail, vectors))
    out = convert_onnx(path, vocab_path, tmp_path / "out", **FACTS)
    checkpoint = load_folder(out)
    pooling = _same_direction(POOLED[pool], norm is not None)
    assert (checkpoint.pooling, checkpoint.normalize) == (pooling, norm is not None)
    model = SentenceTransformer(out, compute_type="float32")
    expected = runtime_vectors(path, model, tail.model.graph.output[0].name)
    np.testing.assert_allclose(model.encode(TEXTS), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("normalize", [True, False])
def test_our_own_exports_tell_their_pooling(tmp_path: Path, pooling: str, normalize: bool) -> None:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        write_onnx(file, tiny_tensors(), CONFIG, pooling, normalize)
    assert read_onnx(path).outputs == ((_same_direction(pooling, normalize), normalize), True)


def _same_direction(pooling: str, normalize: bool) -> str:
    """Divided by the count or its root, a sum gets the same unit vector."""
    return "mean" if normalize and pooling == "mean_sqrt_len_tokens" else pooling


def dense(add: Tail, value: str, size: int) -> str:
    rng = np.random.default_rng(3)
    product = add("MatMul", value, rng.normal(size=(HIDDEN, size)).astype(np.float32))
    return add("Add", product, rng.normal(size=size).astype(np.float32))


def pooler(add: Tail) -> str:
    return add("Tanh", dense(add, cls_by_gather(add), HIDDEN))


def first_norm(add: Tail) -> str:
    norms = [n for n in add.model.graph.node if n.op_type == "LayerNormalization"]
    return str(norms[0].output[0])


OTHER = {
    "a classifier": (lambda add: dense(add, pooler(add), 3), r"MatMul \[64, 3\]"),
    "a pooler alone": (pooler, "Tanh"),
    "a Dense module": (lambda add: dense(add, torch_mean(add), 32), r"MatMul \[64, 32\]"),
    "a Dense module of the same size": (
        lambda add: dense(add, torch_mean(add), HIDDEN),
        r"MatMul \[64, 64\]",
    ),
    "a projection of tokens": (
        lambda add: torch_norm(add, dense(add, "last_hidden_state", 16)),
        r"MatMul \[64, 16\]",
    ),
    "an activation": (lambda add: add("Tanh", torch_mean(add)), "Tanh"),
    "a factor": (lambda add: add("Mul", torch_mean(add), 1.01), "Mul"),
    "cut vectors": (
        lambda add: add("Slice", torch_mean(add), np.array([0]), np.array([32]), np.array([1])),
        "Slice",
    ),
    "unmasked mean of padded texts": (
        lambda add: add(
            "Div",
            add("ReduceSum", "last_hidden_state", np.array([1]), keepdims=0),
            add("Cast", add("Gather", add("Shape", "input_ids"), np.array(1)), to=1),
        ),
        "ReduceSum",
    ),
    "the second token": (
        lambda add: add("Gather", "last_hidden_state", np.array(1), axis=1),
        "Gather",
    ),
    "two layers together": (
        lambda add: add("Add", "last_hidden_state", first_norm(add)),
        "Add",
    ),
    "an earlier layer": (first_norm, "LayerNormalization"),
}


@pytest.mark.parametrize("case", OTHER)
def test_other_outputs_are_refused_by_name(tail: Tail, case: str) -> None:
    build, named = OTHER[case]
    path = tail.save(build(tail))
    output = tail.model.graph.output[0].name
    with pytest.raises(CheckpointError, match=named) as caught:
        read_onnx(path)
    assert f"output {output!r} is made by" in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["logits", "sentence_embedding"])
def test_an_output_beside_the_tokens_is_not_overlooked(tail: Tail, name: str) -> None:
    """The file's vectors are not the mean of its tokens, though it gives those too."""
    value = pooler(tail) if name == "sentence_embedding" else dense(tail, pooler(tail), 3)
    path = tail.save("last_hidden_state", tail("Identity", value, name=name))
    with pytest.raises(CheckpointError, match=f"output '{name}' is made by"):
        read_onnx(path)


def attention(add: Tail) -> str:
    return str(next(n for n in add.model.graph.node if n.op_type == "Softmax").output[0])


@pytest.mark.parametrize("unused", [pooler, first_norm, attention])
def test_unused_outputs(tail: Tail, unused: Callable[[Tail], str]) -> None:
    path = tail.save("last_hidden_state", unused(tail))
    assert read_onnx(path).outputs == (None, True)


def test_the_caller_decides_where_the_file_leaves_it_open(
    tail: Tail, vocab_path: Path, tmp_path: Path
) -> None:
    both = read_onnx(tail.save("last_hidden_state", torch_norm(tail, cls_by_gather(tail)))).outputs
    assert both.choose(None, None) == ("cls", True)
    assert both.choose("max", False) == ("max", False)
    alone = both._replace(tokens=False)
    assert alone.choose("cls", True) == ("cls", True)
    with pytest.raises(ValueError, match="only output has 'cls' and True"):
        alone.choose("mean", None)
    assert both._replace(pooled=None).choose(None, None) == ("mean", False)


def test_outputs_that_contradict_each_other(tail: Tail) -> None:
    first, second = cls_by_gather(tail), torch_mean(tail)
    with pytest.raises(CheckpointError, match="pooled in different ways"):
        read_onnx(tail.save(first, second))
    named = tail("Identity", second, name="sentence_embedding")
    assert read_onnx(tail.save(named)).outputs == (("mean", False), False)
