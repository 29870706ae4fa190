"""ONNX files as exporters write them: data in a second file, half precision, torch's graphs."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import st_reference

from api.tiny_model import CONFIG, VOCAB, tiny_tensors
from bge_micro import SentenceTransformer
from bge_micro.checkpoint import CheckpointError, load_folder
from bge_micro.convert import convert_onnx
from bge_micro.convert.onnx_reader import read_onnx
from bge_micro.convert.onnx_writer import write_onnx
from bge_micro.tokenization import build_wordpiece_tokenizer

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")

FACTS = {"repo_id": "org/tiny", "revision": "main"}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Write the tiny model in floats."""
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        write_onnx(file, tiny_tensors(), CONFIG, "mean", normalize=True)
    return path


def with_data_beside(export: Path, folder: Path, location: str) -> Path:
    """Save a model so that its tensors are in another file."""
    folder.mkdir()
    model = onnx.load(str(export))
    onnx.save_model(
        model,
        str(folder / "model.onnx"),
        save_as_external_data=True,
        location=location,
        size_threshold=0,
    )
    return folder / "model.onnx"


def test_data_in_a_file_beside(export: Path, tmp_path: Path) -> None:
    path = with_data_beside(export, tmp_path / "beside", "model.onnx.data")
    config, found, *_ = read_onnx(path)
    expected_config, expected, *_ = read_onnx(export)
    assert config == expected_config
    assert all(found[name].tobytes() == array.tobytes() for name, array in expected.items())
    data = tmp_path / "beside/model.onnx.data"
    content = data.read_bytes()
    data.write_bytes(content[:1000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_onnx(path)
    data.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_onnx(path)


@pytest.mark.parametrize("location", ["../outside", "/etc/passwd"])
def test_data_outside_of_the_folder_is_not_opened(
    export: Path, tmp_path: Path, location: str
) -> None:
    path = with_data_beside(export, tmp_path / "beside", "data")
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    (tmp_path / "outside").write_bytes((tmp_path / "beside/data").read_bytes())
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_onnx(path)


@pytest.mark.parametrize("keep_io_types", [True, False])
def test_half_precision(export: Path, tmp_path: Path, keep_io_types: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        float16 = pytest.importorskip(
            "onnxruntime.transformers.float16", reason="needs onnxruntime: pip install '.[test]'"
        )
        half = float16.convert_float_to_float16(onnx.load(str(export)), keep_io_types=keep_io_types)
    path = tmp_path / "half.onnx"
    onnx.save_model(half, str(path))
    config, found, *_ = read_onnx(path)
    assert config.heads == CONFIG.heads
    for name, array in tiny_tensors().items():
        expected = array.astype(np.float16).astype(np.float32)
        assert found[name].tobytes() == expected.tobytes(), name


def test_four_bits_are_refused_by_name(export: Path, tmp_path: Path) -> None:
    model = onnx.load(str(export))
    node = next(node for node in model.graph.node if node.op_type == "MatMul")
    node.op_type, node.domain = "MatMulNBits", "com.microsoft"
    path = tmp_path / "q4.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="MatMulNBits"):
        read_onnx(path)


@pytest.mark.parametrize(
    ("dynamo", "opset"),
    [(False, 14), pytest.param(True, 18, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.filterwarnings("ignore")  # torch's, about its exporters
def test_what_torch_exports(
    theirs: SimpleNamespace,
    plain_folder: Path,
    tmp_path: Path,
    attention: str,
    dynamo: bool,
    opset: int,
) -> None:
    """Today's exporter writes data to a second file; the old one does not."""
    if dynamo:
        pytest.importorskip("onnxscript", reason="needs onnxscript, by which torch exports")
    torch = theirs.torch
    model = theirs.transformers.BertModel.from_pretrained(
        plain_folder, attn_implementation=attention
    ).eval()

    class Encoder(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            return self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state

    names = ("input_ids", "attention_mask", "token_type_ids")
    ids = torch.randint(5, len(st_reference.VOCAB), (2, 7))
    axes = {name: {0: "batch", 1: "sequence"} for name in names}
    if dynamo:
        sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
        dynamic: dict[str, Any] = {"dynamic_shapes": dict.fromkeys(names, sizes)}
    else:
        dynamic = {"dynamic_axes": axes}
    path = tmp_path / "model.onnx"
    mask, types = torch.ones_like(ids), torch.zeros_like(ids)
    torch.onnx.export(
        Encoder(),
        (ids, mask, types),
        str(path),
        input_names=list(names),
        output_names=["last_hidden_state"],
        opset_version=opset,
        dynamo=dynamo,
        **dynamic,
    )
    assert (tmp_path / "model.onnx.data").exists() == dynamo
    out = convert_onnx(
        path, plain_folder / "tokenizer.json", tmp_path / "out", compute_type="float32", **FACTS
    )
    ours = SentenceTransformer(out, compute_type="float32")
    expected = SentenceTransformer(plain_folder, compute_type="float32")
    ours.max_seq_length = expected.max_seq_length
    vectors = ours.encode(st_reference.TEXTS)
    assert vectors.tobytes() == expected.encode(st_reference.TEXTS).tobytes()


def test_a_tokenizer_and_a_limit(export: Path, tmp_path: Path) -> None:
    """tokenizer.json tells a cased model from an uncased one; vocab.txt does not."""
    path = tmp_path / "tokenizer.json"
    cased = build_wordpiece_tokenizer(VOCAB, lowercase=False)
    cased.enable_padding(length=40)
    cased.save(str(path))
    out = convert_onnx(export, path, tmp_path / "out", max_seq_length=9, **FACTS)
    stored = json.loads((out / "tokenizer.json").read_bytes())
    assert stored["normalizer"]["lowercase"] is False
    assert stored["padding"] is None
    assert load_folder(out).max_seq_length == 9
    for limit in (2, CONFIG.positions + 1):
        with pytest.raises(ValueError, match=f"max_seq_length is {limit}, expected 3 to"):
            convert_onnx(export, path, tmp_path / "no", max_seq_length=limit, **FACTS)
    build_wordpiece_tokenizer([*VOCAB, "more"]).save(str(path))
    with pytest.raises(CheckpointError, match="same model's vocabulary"):
        convert_onnx(export, path, tmp_path / "no", **FACTS)
    assert not (tmp_path / "no").exists()
