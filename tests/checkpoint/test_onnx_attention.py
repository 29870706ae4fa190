"""Attention, GELU and weights as exporters write them, and the same graphs with a difference."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.tiny_model import CONFIG, tiny_tensors
from bge_micro import SentenceTransformer
from bge_micro.checkpoint import CheckpointError
from bge_micro.convert import convert_onnx
from bge_micro.convert.onnx_reader import read_onnx
from bge_micro.convert.onnx_writer import write_onnx
from bge_micro.quantize import dequantize_checkpoint

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")

Graph = Any
TEXTS = ["a b c d", "e f, g. h", "", "a", "abcb dcb . a b c d e f g h" * 2]


class Editor:
    """Rewrites the tiny model's export, operation by operation."""

    def __init__(self, path: Path) -> None:
        with path.open("wb") as file:
            write_onnx(file, tiny_tensors(), CONFIG, "mean", normalize=False)
        self.path = path
        self.model = onnx.load(str(path))
        self.graph = self.model.graph
        self.count = 0
        self.nodes: list[Any] = []

    def rewrite(self, edit: Callable[[Editor, Any], bool]) -> Path:
        """Let `edit` replace operations: True if it has added its own in place of one."""
        for node in list(self.graph.node):
            if not edit(self, node):
                self.nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        self.path.write_bytes(self.model.SerializeToString())
        return self.path

    def add(self, op_type: str, *inputs: Any, output: str | None = None, **options: Any) -> str:
        names = [value if isinstance(value, str) else self.store(value) for value in inputs]
        self.count += 1
        output = output or f"edited_{self.count}"
        self.nodes.append(onnx.helper.make_node(op_type, names, [output], output, **options))
        return output

    def store(self, array: Any) -> str:
        self.count += 1
        tensor = onnx.numpy_helper.from_array(np.asarray(array), f"stored_{self.count}")
        self.graph.initializer.append(tensor)
        return str(tensor.name)

    def made(self, name: str) -> Any:
        return next(node for node in self.nodes if node.output[0] == name)

    def scores(self, node: Any) -> Any:
        """Return the product of queries and keys that a node divides, if it does."""
        made = [n for n in self.nodes if n.op_type == "MatMul" and n.output[0] == node.input[0]]
        attention = node.op_type == "Div" and made and made[0].input[0].startswith("transpose")
        return made[0] if attention else None


def root_of_size(add: Callable[..., str], size: str) -> str:
    """Take the root of 1 / sqrt(size), by which torch multiplies queries and keys."""
    root = add("Sqrt", add("Cast", size, to=onnx.TensorProto.FLOAT))
    scale = add("Div", np.array([1.0], np.float32), root)
    return add("Sqrt", add("Cast", scale, to=onnx.TensorProto.FLOAT))


def by_slice(edit: Editor, query: str) -> str:
    last = (np.array([-1]), np.array([2**63 - 1]))
    return edit.add("Slice", edit.add("Shape", query), *last)


def by_gather(edit: Editor, query: str) -> str:
    return edit.add("Gather", edit.add("Shape", query), np.array([3]))


def by_part_of_shape(edit: Editor, query: str) -> str:
    return edit.add("Shape", query, start=3)


def scaled_on_both_sides(size: Callable[[Editor, str], str]) -> Callable[[Editor, Any], bool]:
    def rewrite(edit: Editor, node: Any) -> bool:
        scores = edit.scores(node)
        if scores is None:
            return False
        edit.nodes.remove(scores)
        query, key = scores.input
        scale = root_of_size(edit.add, size(edit, query))
        query, key = edit.add("Mul", query, scale), edit.add("Mul", scale, key)
        edit.add("MatMul", query, key, output=node.output[0])
        return True

    return rewrite


def scaled_query(edit: Editor, node: Any) -> bool:
    scores = edit.scores(node)
    if scores is None:
        return False
    edit.nodes.remove(scores)
    query = edit.add("Mul", scores.input[0], np.array(0.25, np.float32))  # heads of 16 features
    edit.add("MatMul", query, scores.input[1], output=node.output[0])
    return True


def one_operation(edit: Editor, node: Any, **options: Any) -> bool:
    """Use ONNX's own Attention, as exporters do from opset 23 on."""
    if node.op_type != "MatMul" or not node.input[0].startswith("softmax"):
        return False
    softmax = edit.made(node.input[0])
    masked = edit.made(softmax.input[0])
    divided = edit.made(masked.input[0])
    scores = edit.made(divided.input[0])
    for old in (softmax, masked, divided, scores):
        edit.nodes.remove(old)
    query, key = scores.input
    edit.made(key).attribute[0].ints[:] = [0, 2, 1, 3]
    edit.model.opset_import[0].version = 23
    edit.model.ir_version = 11
    mask = masked.input[1]  # [batch, 1, 1, tokens]; ONNX Runtime wants a row for each token
    turned = edit.add("Transpose", mask, perm=[0, 1, 3, 2])
    mask = edit.add("Add", mask, edit.add("Mul", turned, np.array(0, np.float32)))
    operands = (query, key, node.input[1], mask)
    edit.add("Attention", *operands, output=node.output[0], **options)
    return True


SCALES: dict[str, Callable[[Editor, Any], bool]] = {
    "Slice of a shape": scaled_on_both_sides(by_slice),
    "Gather of a shape": scaled_on_both_sides(by_gather),
    "a part of a shape": scaled_on_both_sides(by_part_of_shape),
    "a number for queries": scaled_query,
    "one operation": one_operation,
    "one operation and its scale": lambda edit, node: one_operation(edit, node, scale=0.25),
}


@pytest.fixture
def edit(tmp_path: Path) -> Editor:
    return Editor(tmp_path / "model.onnx")


def assert_onnx_runtime_agrees(path: Path, vocab: Path, out: Path, least: float) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install '.[test]'")
    options = runtime.SessionOptions()
    # Without VNNI, ONNX Runtime adds pairs of 8-bit products in 16 bits unless told otherwise.
    options.add_session_config_entry("session.x64quantprecision", "1")
    facts = {"repo_id": "org/tiny", "revision": "main", "compute_type": "float32"}
    folder = convert_onnx(path, vocab, out, **facts)
    model = SentenceTransformer(folder, compute_type="float32")
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    expected = session.run(["sentence_embedding"], dict(model.tokenize(TEXTS)))[0]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = model.encode(TEXTS, normalize_embeddings=True)
    assert (found * expected).sum(axis=1).min() > least


def quantised(path: Path) -> Path:
    from onnxruntime.quantization import quantize_dynamic

    out = path.with_name("quantised.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Not "Attention": the tool takes ONNX's operation for ONNX Runtime's own of that name.
        quantize_dynamic(
            str(path),
            str(out),
            op_types_to_quantize=["MatMul", "Gather"],
            extra_options={"DefaultTensorType": 1},
        )
    return out


def optimised(path: Path, level: str) -> Path:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    out = path.with_name(f"{level}_{path.name}")
    options.optimized_model_filepath = str(out)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return out


@pytest.mark.parametrize("case", SCALES)
def test_scales_wherever_they_are(
    edit: Editor, vocab_path: Path, tmp_path: Path, case: str
) -> None:
    path = edit.rewrite(SCALES[case])
    config, tensors, *_ = read_onnx(path)
    assert config == CONFIG
    assert all(tensors[n].tobytes() == array.tobytes() for n, array in tiny_tensors().items())
    assert_onnx_runtime_agrees(path, vocab_path, tmp_path / "out", 0.999999)
    assert_onnx_runtime_agrees(quantised(path), vocab_path, tmp_path / "int8", 0.98)
    for level in ("ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED"):
        again, found, *_ = read_onnx(optimised(path, level))
        assert again == CONFIG
        assert all(found[n].tobytes() == array.tobytes() for n, array in tiny_tensors().items())
        read_onnx(optimised(quantised(path), level))


def of_tokens(edit: Editor, query: str) -> str:
    return edit.add("Gather", edit.add("Shape", query), np.array([2]))


def twice_the_scale(edit: Editor, node: Any) -> bool:
    if edit.scores(node) is None:
        return False
    edit.add("Div", node.input[0], np.array(2.0, np.float32), output=node.output[0])
    return True


def a_bound(edit: Editor, node: Any) -> bool:
    """Put tanh around the scores."""
    if node.op_type != "Softmax":
        return False
    edit.add("Softmax", edit.add("Tanh", node.input[0]), output=node.output[0], axis=-1)
    return True


def scaled_values(edit: Editor, node: Any) -> bool:
    if node.op_type != "MatMul" or not node.input[0].startswith("softmax"):
        return False
    values = edit.add("Mul", node.input[1], np.array(1.5, np.float32))
    edit.add("MatMul", node.input[0], values, output=node.output[0])
    return True


def scaled_context(edit: Editor, node: Any) -> bool:
    if node.op_type != "MatMul" or not node.input[0].startswith("softmax"):
        return False
    context = edit.add("MatMul", *node.input)
    edit.add("Tanh", context, output=node.output[0])
    return True


OTHERS: dict[str, tuple[Callable[[Editor, Any], bool], str]] = {
    "scaled by the number of tokens": (scaled_on_both_sides(of_tokens), "no known number"),
    "twice the scale": (twice_the_scale, "multiplies scores by 0.5 .* expected 0.25"),
    "bounded scores": (a_bound, "not a plain softmax"),
    "scaled values": (scaled_values, "values by 1.5"),
    "an activation of the result": (scaled_context, "found Tanh"),
    "causal": (lambda edit, node: one_operation(edit, node, is_causal=1), "is_causal"),
    "softcap": (lambda edit, node: one_operation(edit, node, softcap=2.0), "softcap"),
    "scale of one operation": (
        lambda edit, node: one_operation(edit, node, scale=0.5),
        "multiplies scores by 0.5",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_attention_is_refused(edit: Editor, case: str) -> None:
    rewrite, message = OTHERS[case]
    with pytest.raises(CheckpointError, match=message) as caught:
        read_onnx(edit.rewrite(rewrite))
    assert "attention.self" in str(caught.value)


def another_gelu(approximate: str, version: int = 20) -> Callable[[Editor, Any], bool]:
    """Replace GELU in single steps by ONNX's operation."""

    def rewrite(edit: Editor, node: Any) -> bool:
        edit.model.opset_import[0].version = version
        inner = edit.made(node.input[0]) if node.op_type == "Mul" and edit.nodes else None
        if inner is None or inner.op_type != "Mul" or not node.output[0].startswith("mul"):
            return False
        edit.add("Gelu", inner.input[0], output=node.output[0], approximate=approximate)
        return True

    return rewrite


def test_gelu_as_one_operation(edit: Editor) -> None:
    path = edit.rewrite(another_gelu("none"))
    assert any(node.op_type == "Gelu" for node in edit.graph.node)
    _, tensors, *_ = read_onnx(path)
    assert all(tensors[n].tobytes() == array.tobytes() for n, array in tiny_tensors().items())


def test_gelu_by_tanh_is_refused(edit: Editor) -> None:
    with pytest.raises(CheckpointError, match="another activation than GELU"):
        read_onnx(edit.rewrite(another_gelu("tanh")))


def test_gelu_with_another_number_is_refused(edit: Editor) -> None:
    def rewrite(edit: Editor, node: Any) -> bool:
        if node.op_type != "Div" or edit.scores(node) is not None:
            return False
        if not any("intermediate" in name for name in edit.made(node.input[0]).input):
            return False
        edit.add("Div", node.input[0], np.array(1.0, np.float32), output=node.output[0])
        return True

    with pytest.raises(CheckpointError, match="another activation than GELU"):
        read_onnx(edit.rewrite(rewrite))


def test_weights_dequantised_by_hand(edit: Editor, vocab_path: Path, tmp_path: Path) -> None:
    """Matrices and words as 8-bit integers that the graph casts and multiplies."""
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in edit.graph.initializer}

    def rewrite(edit: Editor, node: Any) -> bool:
        place = {"MatMul": 1, "Gather": 0}.get(node.op_type)
        array = stored.get(node.input[place]) if place is not None else None
        if array is None or array.ndim != 2 or not node.input[place].endswith(".weight"):
            return False
        step = np.float32(np.abs(array).max() / 127)
        integers = edit.store(np.rint(array / step).astype(np.int8))
        if node.op_type == "Gather":
            rows = edit.add("Gather", integers, node.input[1])
            edit.add("Mul", edit.add("Cast", rows, to=1), np.array(step), output=node.output[0])
        else:
            weights = edit.add("Mul", edit.add("Cast", integers, to=1), np.array(step))
            edit.add("MatMul", node.input[0], weights, output=node.output[0])
        return True

    path = edit.rewrite(rewrite)
    config, tensors, *_ = read_onnx(path)
    floats = dequantize_checkpoint(tensors, config)
    query = "encoder.layer.0.attention.self.query.weight"
    step = np.abs(tiny_tensors()[query]).max() / 127
    assert 0 < np.abs(floats[query] - tiny_tensors()[query]).max() <= 0.51 * step
    assert_onnx_runtime_agrees(path, vocab_path, tmp_path / "out", 0.999999)


def test_words_beyond_the_vocabulary(edit: Editor, vocab_path: Path, tmp_path: Path) -> None:
    name = "embeddings.word_embeddings.weight"
    tensor = next(t for t in edit.graph.initializer if t.name == name)
    words = onnx.numpy_helper.to_array(tensor)
    for extra, refused in ((46, False), (1024, True)):
        padded = np.concatenate([words, np.zeros((extra, CONFIG.hidden), np.float32)])
        tensor.CopyFrom(onnx.numpy_helper.from_array(padded, name))
        edit.path.write_bytes(edit.model.SerializeToString())
        if refused:
            with pytest.raises(CheckpointError, match="expected the same model's vocabulary"):
                convert_onnx(edit.path, vocab_path, tmp_path / "no", repo_id="a", revision="b")
        else:
            assert_onnx_runtime_agrees(edit.path, vocab_path, tmp_path / "out", 0.999999)
