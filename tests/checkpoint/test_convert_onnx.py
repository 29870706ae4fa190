"""Reading ONNX exports: a made-up one, every way it may be wrong, and the official one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro.checkpoint import CheckpointError, MissingFileError, load_folder
from bge_micro.checkpoint.tensors import all_linears
from bge_micro.convert import License, convert_onnx
from bge_micro.convert.onnx_reader import read_quantized_export

onnx = pytest.importorskip("onnx", reason="reading ONNX files needs the extra bge-micro[convert]")

from made_up_onnx import EXPECTED, VOCAB, Export  # noqa: E402 (it imports onnx)


@pytest.fixture
def export() -> Export:
    """Return a graph that the reader accepts, to be damaged."""
    return Export()


@pytest.fixture
def vocab_path(tmp_path: Path) -> Path:
    """Write the vocabulary that belongs to the made-up export."""
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    return path


def test_made_up_export(tmp_path: Path, export: Export) -> None:
    config, tensors = read_quantized_export(export.save(tmp_path / "model.onnx"))
    assert config == EXPECTED
    stored = export.tensors
    words = tensors["embeddings.word_embeddings.weight"]
    assert words.dtype == np.int8
    uint8 = stored["embeddings.word_embeddings.weight_quantized"].astype(int)
    assert np.array_equal(words.astype(int) + 128, uint8)
    assert tensors["embeddings.word_embeddings.scale"].tolist() == [np.float32(0.0123)]
    positions = stored["embeddings.position_embeddings.weight_quantized"].astype(np.float32) - 127
    expected = positions * np.float32(0.0123)
    assert tensors["embeddings.position_embeddings.weight"].tobytes() == expected.tobytes()
    matrices = [name for name in stored if name.startswith("onnx::") and "quantized" in name]
    for linear, matrix in zip(all_linears(config), matrices, strict=True):
        assert np.array_equal(tensors[f"{linear.name}.weight"], stored[matrix].T)
        scale = stored[matrix.replace("quantized", "scale")]
        assert (tensors[f"{linear.name}.weight_scale"] == scale).all()
        assert tensors[f"{linear.name}.weight_scale"].shape == (linear.out_features,)
        bias = stored[f"{linear.name}.bias"]
        assert tensors[f"{linear.name}.bias"].tobytes() == bias.tobytes()


def test_folder_of_a_made_up_export(tmp_path: Path, export: Export, vocab_path: Path) -> None:
    path = export.save(tmp_path / "model.onnx")
    out = convert_onnx(
        path,
        vocab_path,
        tmp_path / "out",
        repo_id="org/tiny",
        revision="abc",
        pooling="cls",
        normalize=True,
        license=License("MIT, someone", "MIT License\n"),
    )
    checkpoint = load_folder(out)
    config, tensors = read_quantized_export(path)
    assert checkpoint.config == config
    assert {n: a.tobytes() for n, a in checkpoint.tensors.items()} == {
        n: a.tobytes() for n, a in tensors.items()
    }
    assert (checkpoint.pooling, checkpoint.normalize) == ("cls", True)
    assert checkpoint.side_file is not None
    assert checkpoint.side_file.source["repo_id"] == "org/tiny"
    assert checkpoint.side_file.license == "MIT, someone"
    assert checkpoint.side_file.sha256["model.safetensors"] == checkpoint.weights_sha256
    assert (out / "LICENSE").read_text() == "MIT License\n"


def scale_of(export: Export, linear: str) -> str:
    product = export.find("MatMulInteger", linear)
    return str(product.input[1]).replace("quantized", "scale")


def set_tensor(name: str, value: Any) -> Callable[[Export], None]:
    def damage(export: Export) -> None:
        export.tensors[name] = value

    return damage


def minus_128(export: Export) -> None:
    export.tensors[export.find("MatMulInteger").input[1]][3, 3] = -128


def zero_point_of_one(export: Export) -> None:
    export.tensors[export.find("MatMulInteger").input[3]] = np.array(1, np.int8)


def unsigned_weights(export: Export) -> None:
    name = export.find("MatMulInteger").input[1]
    export.tensors[name] = export.tensors[name].view(np.uint8)


def swapped_biases(export: Export) -> None:
    query, key = (export.find("Add", f"layer.0/attention/self/{n}") for n in ("query", "key"))
    query.input[0], key.input[0] = key.input[0], query.input[0]


def swapped_layers(export: Export) -> None:
    at = [
        i
        for i, n in enumerate(export.nodes)
        if n.name.endswith(("query/MatMul_quant", "key/MatMul_quant"))
    ]
    export.nodes[at[0]], export.nodes[at[1]] = export.nodes[at[1]], export.nodes[at[0]]


def cast_to_int(export: Export) -> None:
    export.find("Cast").attribute[0].i = 7


def other_head_size(export: Export) -> None:
    tensor = onnx.numpy_helper.from_array(np.array(4.1, np.float32))
    export.find("Constant", "layer.1.attention").attribute[0].t.CopyFrom(tensor)


def other_epsilon(export: Export) -> None:
    tensor = onnx.numpy_helper.from_array(np.array(1e-5, np.float32))
    export.find("Constant", "layer.1.output.LayerNorm").attribute[0].t.CopyFrom(tensor)


def another_activation(export: Export) -> None:
    export.find("Erf").op_type = "Tanh"


def one_layer_short(export: Export) -> None:
    export.nodes.remove(export.find("MatMulInteger", "layer.1/output/dense"))


def matrix_transposed(export: Export) -> None:
    name = export.find("MatMulInteger", "layer.0/intermediate").input[1]
    export.tensors[name] = export.tensors[name].T.copy()


GRAPH_DAMAGES = {
    "a weight of -128": (minus_128, "holds -128"),
    "a zero point": (zero_point_of_one, "is not zero"),
    "unsigned weights": (unsigned_weights, "is uint8"),
    "biases swapped": (swapped_biases, "followed by the bias"),
    "layers swapped": (swapped_layers, "where .*query.* is expected"),
    "a cast to integers": (cast_to_int, "does not cast to float32"),
    "head sizes that differ": (other_head_size, "divided by None"),
    "epsilons that differ": (other_epsilon, "one constant epsilon"),
    "another activation": (another_activation, "1 operations are Erf, expected 2"),
    "a layer short": (one_layer_short, "11 linear layers"),
    "a matrix transposed": (matrix_transposed, "has 128 values"),
    "a tensor too many": (set_tensor("more", np.zeros(3, np.float32)), "'more' has no place"),
    "words' zero point": (
        set_tensor("embeddings.word_embeddings.weight_zero_point", np.array(127, np.uint8)),
        "zero point 127, expected 128",
    ),
    "words as int8": (
        set_tensor("embeddings.word_embeddings.weight_quantized", np.zeros((10, 64), np.int8)),
        "expected uint8",
    ),
    "a scale for each row": (
        set_tensor("embeddings.word_embeddings.weight_scale", np.ones(10, np.float32)),
        "1 dimensions, expected float32 with 0",
    ),
    "heads that do not divide": (
        set_tensor("embeddings.word_embeddings.weight_quantized", np.zeros((10, 40), np.uint8)),
        "hidden_size is 40",
    ),
}


@pytest.mark.parametrize("case", GRAPH_DAMAGES)
def test_other_graphs_are_refused(tmp_path: Path, export: Export, case: str) -> None:
    damage, message = GRAPH_DAMAGES[case]
    damage(export)
    path = export.save(tmp_path / "model.onnx")
    with pytest.raises(CheckpointError, match=message) as caught:
        read_quantized_export(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_onnx(tmp_path: Path, vocab_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not an ONNX model"):
        read_quantized_export(vocab_path)
    with pytest.raises(MissingFileError, match=r"absent\.onnx"):
        read_quantized_export(tmp_path / "absent.onnx")


def test_lying_sizes(tmp_path: Path, export: Export) -> None:
    path = export.save(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    name = "embeddings.word_embeddings.weight_quantized"
    next(t for t in model.graph.initializer if t.name == name).dims[0] = 2**40
    onnx.save(model, str(path))
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_quantized_export(path)


def test_another_models_vocabulary(tmp_path: Path, export: Export, vocab_path: Path) -> None:
    path = export.save(tmp_path / "model.onnx")
    vocab_path.write_text("\n".join([*VOCAB, "more"]), encoding="utf-8")
    with pytest.raises(CheckpointError, match="holds 11 tokens"):
        convert_onnx(path, vocab_path, tmp_path / "out", repo_id="a/b", revision="c")
    with pytest.raises(ValueError, match="pooling is 'lasttoken'"):
        convert_onnx(
            path, vocab_path, tmp_path / "out", repo_id="a/b", revision="c", pooling="lasttoken"
        )
    assert not (tmp_path / "out").exists()


def test_without_the_onnx_package(
    tmp_path: Path, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export.save(tmp_path / "model.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r"bge-micro\[convert\]"):
        read_quantized_export(path)
