"""Reading ONNX exports: plain, fused and quantised by ONNX Runtime, damaged, official."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_packages import paraphrase_onnx
from numpy.typing import NDArray

from api.tiny_model import CONFIG, VOCAB, tiny_tensors
from bge_micro import SentenceTransformer
from bge_micro.checkpoint import CheckpointError, MissingFileError, bundled_folder, load_folder
from bge_micro.checkpoint.tensors import all_linears
from bge_micro.convert import License, convert_onnx
from bge_micro.convert.onnx_reader import read_onnx
from bge_micro.convert.onnx_writer import write_onnx
from bge_micro.quantize import dequantize_checkpoint

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")
Tensors = dict[str, NDArray[Any]]
TEXTS = ["a b c d", "e f, g. h", "", "a", "abcb dcb . a b c d e f g h" * 2]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return tiny_tensors()


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory, tensors: Tensors) -> Path:
    """Write the tiny model in floats."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    with path.open("wb") as file:
        write_onnx(file, tensors, CONFIG, "mean", normalize=True)
    onnx.checker.check_model(str(path))
    return path


@pytest.fixture(scope="module")
def runtime() -> Any:
    return pytest.importorskip(
        "onnxruntime", reason="needs onnxruntime, the reference: pip install '.[test]'"
    )


def optimise(runtime: Any, source: Path, out: Path, level: str) -> Path:
    options = runtime.SessionOptions()
    options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(out)
    options.log_severity_level = 3
    runtime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return out


def fuse_attention(source: Path, out: Path) -> Path:
    """Fuse everything that ONNX Runtime's tool for transformers can fuse."""
    from onnxruntime.transformers import optimizer

    config, *_ = read_onnx(source)
    sizes = {"num_heads": config.heads, "hidden_size": config.hidden}
    model = optimizer.optimize_model(str(source), model_type="bert", opt_level=0, **sizes)
    model.save_model_to_file(str(out))
    return out


def quantise(source: Path, out: Path, weight_type: str = "QInt8", **options: Any) -> Path:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    kind = getattr(QuantType, weight_type)
    quantize_dynamic(
        str(source), str(out), weight_type=kind, extra_options={"DefaultTensorType": 1}, **options
    )
    return out


def forms(runtime: Any, source: Path, folder: Path) -> dict[str, Path]:
    """Return the file in all forms that people have."""
    paths = {"plain": source}
    for level in ("ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"):
        paths[level] = optimise(runtime, source, folder / f"{level}.onnx", level)
    paths["fused"] = fuse_attention(source, folder / "fused.onnx")
    paths["int8"] = quantise(source, folder / "int8.onnx")
    paths["int8 columns"] = quantise(source, folder / "columns.onnx", per_channel=True)
    paths["int8 matrices"] = quantise(source, folder / "m.onnx", op_types_to_quantize=["MatMul"])
    paths["uint8"] = quantise(source, folder / "uint8.onnx", "QUInt8")
    paths["int8 fused"] = quantise(paths["fused"], folder / "fused_int8.onnx")
    for name in ("int8", "int8 columns", "uint8"):
        out = folder / f"{name} extended.onnx"
        paths[f"{name} extended"] = optimise(runtime, paths[name], out, "ORT_ENABLE_EXTENDED")
    return paths


def fused_operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(str(path)).graph.node}


@pytest.fixture(scope="module")
def all_forms(
    runtime: Any, export: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Return the tiny model's export in all forms."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return forms(runtime, export, tmp_path_factory.mktemp("forms"))


def test_every_form_of_an_export(all_forms: dict[str, Path], tensors: Tensors) -> None:
    for name, path in all_forms.items():
        config, found, *_ = read_onnx(path)
        assert config == CONFIG, name
        floats = dequantize_checkpoint(found, config)
        for tensor, expected in tensors.items():
            if "int8" not in name:
                assert floats[tensor].tobytes() == expected.tobytes(), (name, tensor)
            elif tensor.startswith("encoder"):
                step = np.abs(expected).max() / 127
                assert np.abs(floats[tensor] - expected).max() <= 1.01 * step, (name, tensor)
        for linear in all_linears(config):
            is_int8 = found[f"{linear.name}.weight"].dtype == np.int8
            assert is_int8 == name.startswith("int8"), name


def exact_products(runtime: Any) -> Any:
    """Return a session's options by which sums of 8-bit products do not saturate.

    On x86 CPUs with AVX2 and without VNNI, ONNX Runtime adds pairs of them in 16 bits otherwise.
    """
    options = runtime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def test_vectors_are_those_of_onnx_runtime(
    runtime: Any, all_forms: dict[str, Path], tmp_path: Path, vocab_path: Path
) -> None:
    for number, (name, path) in enumerate(all_forms.items()):
        out = convert_onnx(
            path,
            vocab_path,
            tmp_path / f"folder{number}",
            repo_id="org/tiny",
            revision="main",
            normalize=True,
            compute_type="float32",
        )
        model = SentenceTransformer(out, compute_type="float32")
        ours = model.encode(TEXTS)
        session = runtime.InferenceSession(
            str(path), exact_products(runtime), providers=["CPUExecutionProvider"]
        )
        feeds = model.tokenize(TEXTS)
        theirs = session.run(["sentence_embedding"], dict(feeds))[0]
        cosines = (ours * theirs).sum(axis=1)
        # ONNX Runtime rounds a batch's inputs by its extremes; here the same weights run exactly.
        assert cosines.min() > (0.98 if "int8" in name else 0.999999), name


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_real_export_in_every_form(runtime: Any, tmp_path: Path) -> None:
    """Exported by torch 2.3 with pooling; the fused form has every fused operator for BERT."""
    source = paraphrase_onnx()
    paths = forms(runtime, source, tmp_path)
    assert {"Attention", "EmbedLayerNormalization", "SkipLayerNormalization", "BiasGelu"} <= (
        fused_operators(paths["fused"])
    )
    assert {"QAttention", "QEmbedLayerNormalization"} <= fused_operators(paths["int8 fused"])
    assert {"DynamicQuantizeMatMul", "MatMulIntegerToFloat"} <= (
        fused_operators(paths["int8 extended"])
    )
    config, expected, *_ = read_onnx(source)
    assert (config.layers, config.hidden, config.heads, config.vocab) == (3, 384, 12, 30522)
    for name, path in paths.items():
        found_config, found, *_ = read_onnx(path)
        assert found_config == config
        floats = dequantize_checkpoint(found, config)
        for tensor in (t for t in expected if t.startswith("encoder")):
            bound = np.abs(expected[tensor]).max() / 127 if "int8" in name else 0
            assert np.abs(floats[tensor] - expected[tensor]).max() <= 1.01 * bound, (name, tensor)


def test_a_real_export_gives_onnx_runtimes_vectors(runtime: Any, tmp_path: Path) -> None:
    source = paraphrase_onnx()
    vocab = json.loads((bundled_folder() / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocab), encoding="utf-8")
    out = convert_onnx(
        source,
        tmp_path / "vocab.txt",
        tmp_path / "out",
        repo_id="sentence-transformers/paraphrase-MiniLM-L3-v2",
        revision="unknown",
        compute_type="float32",
    )
    texts = ["How do I bake bread?", "The cat sat on the mat.", "bread " * 100, ""]
    model = SentenceTransformer(out, compute_type="float32")
    ours = model.encode(texts, normalize_embeddings=True)
    session = runtime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    feeds = {name: model.tokenize(texts)[name] for name in ("input_ids", "attention_mask")}
    theirs = session.run(["461"], feeds)[0]
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    assert (ours * theirs).sum(axis=1).min() > 0.999999
    eight = SentenceTransformer(out, compute_type="int8").encode(texts, normalize_embeddings=True)
    assert (eight * theirs).sum(axis=1).min() > 0.995


def test_folder_of_an_export(tmp_path: Path, export: Path, vocab_path: Path) -> None:
    out = convert_onnx(
        export,
        vocab_path,
        tmp_path / "out",
        repo_id="org/tiny",
        revision="abc",
        pooling="cls",
        normalize=True,
        license=License("MIT, someone", "MIT License\n"),
    )
    checkpoint = load_folder(out)
    assert checkpoint.config == CONFIG
    assert checkpoint.tensors["encoder.layer.0.output.dense.weight"].dtype == np.int8
    assert (checkpoint.pooling, checkpoint.normalize) == ("cls", True)
    assert checkpoint.side_file is not None
    assert checkpoint.side_file.source["repo_id"] == "org/tiny"
    assert checkpoint.side_file.license == "MIT, someone"
    assert checkpoint.side_file.sha256["model.safetensors"] == checkpoint.weights_sha256()
    assert (out / "LICENSE").read_text() == "MIT License\n"


Graph = Any


def nodes(graph: Graph, op_type: str) -> list[Any]:
    return [node for node in graph.node if node.op_type == op_type]


def retype(old: str, new: str, index: int = 0) -> Callable[[Graph], None]:
    def damage(graph: Graph) -> None:
        nodes(graph, old)[index].op_type = new

    return damage


def another_epsilon(graph: Graph) -> None:
    nodes(graph, "LayerNormalization")[2].attribute[1].f = 1e-5


def other_head_size(graph: Graph) -> None:
    name = nodes(graph, "Reshape")[0].input[1]
    tensor = next(t for t in graph.initializer if t.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.array([0, 0, 8, 8]), name))


def another_residual(graph: Graph) -> None:
    norms = [node.output[0] for node in nodes(graph, "LayerNormalization")]
    for node in nodes(graph, "Add"):
        for place, name in enumerate(node.input):
            if name == norms[1]:
                node.input[place] = norms[0]


def a_table_of_biases(graph: Graph) -> None:
    """Relative positions: a gathered table is added to the scores."""
    table = onnx.numpy_helper.from_array(np.zeros((9, 9), np.float32), "biases")
    graph.initializer.append(table)
    softmax = nodes(graph, "Softmax")[0]
    gather = onnx.helper.make_node("Gather", ["biases", "input_ids"], ["relative"])
    add = onnx.helper.make_node("Add", [softmax.input[0], "relative"], ["biased"])
    softmax.input[0] = "biased"
    graph.node.extend([gather, add])


def short_bias(graph: Graph) -> None:
    name = "encoder.layer.0.intermediate.dense.bias"
    tensor = next(t for t in graph.initializer if t.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros(7, np.float32), name))


def narrow_matrix(graph: Graph) -> None:
    name = "encoder.layer.1.output.dense.weight"
    tensor = next(t for t in graph.initializer if t.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros((64, 64), np.float32), name))


GRAPH_DAMAGES = {
    "another activation": (retype("Erf", "Tanh"), "does not end in GELU"),
    "an activation more": (retype("Add", "Relu", -1), "found"),
    "no softmax": (retype("Softmax", "Sigmoid"), "plain softmax"),
    "a norm short": (retype("LayerNormalization", "Identity", 4), "4 LayerNorms"),
    "epsilons that differ": (another_epsilon, "one constant epsilon"),
    "head sizes that differ": (other_head_size, "heads of size"),
    "another residual": (another_residual, "not computed as in BERT"),
    "relative positions": (a_table_of_biases, "plain softmax"),
    "a short bias": (short_bias, "bias of 7 for 128"),
    "a narrow matrix": (narrow_matrix, r"shape is \[64, 64\]"),
}


@pytest.mark.parametrize("case", GRAPH_DAMAGES)
def test_other_graphs_are_refused(tmp_path: Path, export: Path, case: str) -> None:
    damage, message = GRAPH_DAMAGES[case]
    model = onnx.load(str(export))
    damage(model.graph)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=message) as caught:
        read_onnx(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_onnx(tmp_path: Path, vocab_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not an ONNX model"):
        read_onnx(vocab_path)
    with pytest.raises(MissingFileError, match=r"absent\.onnx"):
        read_onnx(tmp_path / "absent.onnx")


def test_lying_sizes(tmp_path: Path, export: Path) -> None:
    model = onnx.load(str(export))
    name = "encoder.layer.0.output.dense.weight"
    next(t for t in model.graph.initializer if t.name == name).dims[0] = 2**40
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_onnx(path)


def test_another_models_vocabulary(tmp_path: Path, export: Path, vocab_path: Path) -> None:
    vocab_path.write_text("\n".join([*VOCAB, "more"]), encoding="utf-8")
    with pytest.raises(CheckpointError, match="ids up to 17"):
        convert_onnx(export, vocab_path, tmp_path / "out", repo_id="a/b", revision="c")
    with pytest.raises(ValueError, match="pooling is 'lasttoken'"):
        convert_onnx(
            export, vocab_path, tmp_path / "out", repo_id="a/b", revision="c", pooling="lasttoken"
        )
    assert not (tmp_path / "out").exists()


def test_without_the_onnx_package(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r"bge-micro\[convert\]"):
        read_onnx(export)


def test_cut_off_files(tmp_path: Path, export: Path) -> None:
    content = export.read_bytes()
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for length in range(1, len(content), len(content) // 20):
            path.write_bytes(content[:length])
            with pytest.raises(CheckpointError, match=r"model\.onnx"):
                read_onnx(path)
