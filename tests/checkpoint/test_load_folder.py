"""Loading model folders: what is read, what is normalised, what is refused and how."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from bge_micro.checkpoint import CheckpointError, EncoderConfig, MissingFileError, load_folder
from bge_micro.checkpoint.errors import ModelWarning
from bge_micro.checkpoint.side_file import file_sha256

Tensors = dict[str, NDArray[Any]]
WORDS = "embeddings.word_embeddings.weight"
QUERY = "encoder.layer.0.attention.self.query"


def write_bf16(path: Path, tensors: Tensors) -> None:
    """Write float tensors as BF16, cutting their lower bits off (NumPy has no such type)."""
    header, data = {}, b""
    for name, array in tensors.items():
        part = (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        offsets = [len(data), len(data) + len(part)]
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": offsets}
        data += part
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def assert_same(found: Any, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes()
        assert not found[name].flags.writeable


@pytest.mark.parametrize("mapped", [False, True])
def test_float_folder(
    tiny_folder: Path, tiny_tensors: Tensors, tiny_config: EncoderConfig, mapped: bool
) -> None:
    checkpoint = load_folder(tiny_folder, mmap=mapped)
    assert checkpoint.config == tiny_config
    assert_same(checkpoint.tensors, tiny_tensors)
    assert list(checkpoint.tensors) == sorted(tiny_tensors)
    assert (checkpoint.pooling, checkpoint.normalize) == ("mean", False)
    assert checkpoint.max_seq_length == tiny_config.positions
    assert checkpoint.tokenizer_file == tiny_folder / "tokenizer.json"
    assert checkpoint.prompts == {}
    assert checkpoint.default_prompt_name is None
    assert checkpoint.similarity_fn_name is None
    assert checkpoint.truncate_dim is None
    assert checkpoint.side_file is None
    assert checkpoint.weights_sha256() == file_sha256(tiny_folder / "model.safetensors")


def test_f16_folder_equals_its_float32_conversion(tiny_folder: Path, tiny_tensors: Tensors) -> None:
    half = {name: array.astype(np.float16) for name, array in tiny_tensors.items()}
    save_file(half, tiny_folder / "model.safetensors")
    expected = {name: array.astype(np.float32) for name, array in half.items()}
    assert_same(load_folder(tiny_folder).tensors, expected)
    save_file(expected, tiny_folder / "model.safetensors")
    assert_same(load_folder(tiny_folder).tensors, expected)


def test_bf16_folder_equals_its_float32_conversion(
    tiny_folder: Path, tiny_tensors: Tensors
) -> None:
    write_bf16(tiny_folder / "model.safetensors", tiny_tensors)
    cut = np.uint32(0xFFFF0000)
    expected = {n: (a.view(np.uint32) & cut).view(np.float32) for n, a in tiny_tensors.items()}
    assert_same(load_folder(tiny_folder).tensors, expected)


def test_mapping_copies_nothing(tiny_folder: Path, tiny_tensors: Tensors) -> None:
    tensors = load_folder(tiny_folder, mmap=True).tensors
    for name in tiny_tensors:
        array: Any = tensors[name]
        while isinstance(array, np.ndarray):
            assert not array.flags.owndata
            array = array.base


def test_prefix_heads_buffers_and_old_names(tiny_folder: Path, tiny_tensors: Tensors) -> None:
    stored = {"bert." + name: array for name, array in tiny_tensors.items()}
    for name in list(stored):
        for new, old in (
            ("LayerNorm.weight", "LayerNorm.gamma"),
            ("LayerNorm.bias", "LayerNorm.beta"),
        ):
            if name.endswith(new):
                stored[name.replace(new, old)] = stored.pop(name)
    stored["cls.predictions.bias"] = np.zeros(3, np.float32)
    stored["bert.pooler.dense.weight"] = np.full((4, 4), np.nan, np.float32)
    stored["bert.embeddings.position_ids"] = np.arange(16, dtype=np.int64)[None]
    save_file(stored, tiny_folder / "model.safetensors")
    assert_same(load_folder(tiny_folder).tensors, tiny_tensors)


def test_two_encoders_are_refused(tiny_folder: Path, tiny_tensors: Tensors) -> None:
    stored = tiny_tensors | {"bert." + name: array for name, array in tiny_tensors.items()}
    save_file(stored, tiny_folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="expected one encoder"):
        load_folder(tiny_folder)


def write_shards(folder: Path, tensors: Tensors) -> None:
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for shard, part in enumerate((names[:9], names[9:])):
        file = f"model-0000{shard + 1}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


def test_shards(tiny_folder: Path, tiny_tensors: Tensors) -> None:
    whole_sha256 = load_folder(tiny_folder).weights_sha256()
    write_shards(tiny_folder, tiny_tensors)
    checkpoint = load_folder(tiny_folder)
    assert_same(checkpoint.tensors, tiny_tensors)
    assert len(checkpoint.weight_files) == 2
    assert checkpoint.weights_sha256() != whole_sha256
    (tiny_folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(MissingFileError, match="model-00002-of-00002"):
        load_folder(tiny_folder)


def test_a_tensor_in_two_shards_is_refused(tiny_folder: Path, tiny_tensors: Tensors) -> None:
    write_shards(tiny_folder, tiny_tensors)
    first = tiny_folder / "model-00001-of-00002.safetensors"
    shutil.copy(first, tiny_folder / "model-00002-of-00002.safetensors")
    with pytest.raises(CheckpointError, match=r"embeddings\.LayerNorm\.bias.*holds it too"):
        load_folder(tiny_folder)


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "model.bin", 3])
def test_an_index_may_name_only_files_beside_it(tiny_folder: Path, name: Any) -> None:
    (tiny_folder / "model.safetensors").unlink()
    index = {"weight_map": {WORDS: name}}
    (tiny_folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="beside the index"):
        load_folder(tiny_folder)


@pytest.mark.parametrize("mapped", [False, True])
def test_int8_folder(tiny_folder: Path, quantised: Tensors, mapped: bool) -> None:
    save_file(quantised, tiny_folder / "model.safetensors")
    assert_same(load_folder(tiny_folder, mmap=mapped).tensors, quantised)


LIMITS = [
    # sentence_bert_config, tokenizer_config, effective (the model has 16 positions)
    ({"max_seq_length": 8}, None, 8),
    ({"max_seq_length": 512}, None, 16),
    ({"max_seq_length": 8}, {"model_max_length": 4}, 8),
    ({"max_seq_length": None}, {"model_max_length": 4}, 4),
    ({}, {"model_max_length": 512}, 16),
    ({}, {"model_max_length": int(1e30)}, 16),
    (None, {"model_max_length": 1e30}, 16),
    (None, {"model_max_length": 5}, 5),
    (None, {}, 16),
    (None, None, 16),
]


@pytest.mark.parametrize(("bert_config", "tokenizer_config", "expected"), LIMITS)
def test_the_smallest_limit_counts(
    tiny_folder: Path,
    write_json: Callable[..., None],
    bert_config: dict[str, Any] | None,
    tokenizer_config: dict[str, Any] | None,
    expected: int,
) -> None:
    for name, value in (
        ("sentence_bert_config.json", bert_config),
        ("tokenizer_config.json", tokenizer_config),
    ):
        if value is not None:
            write_json(tiny_folder / name, value)
    assert load_folder(tiny_folder).max_seq_length == expected


def test_transformer_in_a_subfolder(tiny_folder: Path, write_json: Callable[..., None]) -> None:
    expected = load_file(tiny_folder / "model.safetensors")
    inner = tiny_folder / "0_Transformer"
    inner.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tiny_folder / name).rename(inner / name)
    modules = json.loads((tiny_folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    write_json(tiny_folder / "modules.json", modules)
    checkpoint = load_folder(tiny_folder)
    assert_same(checkpoint.tensors, expected)
    assert checkpoint.tokenizer_file == inner / "tokenizer.json"


def test_side_file(tiny_folder: Path, write_json: Callable[..., None]) -> None:
    facts = {
        "format_version": 1,
        "source": {"repo_id": "a/b"},
        "sha256": {},
        "license": "MIT",
        "numerics_version": 1,
        "compute_types": ["int8"],
    }
    write_json(tiny_folder / "bge_micro.json", facts)
    side_file = load_folder(tiny_folder).side_file
    assert side_file is not None
    assert side_file.to_json() == facts | {"compute_types": ("int8",)}
    for field, value in [
        ("format_version", 2),
        ("source", [1]),
        ("sha256", {"a": 1}),
        ("license", 3),
        ("numerics_version", "1"),
        ("compute_types", [["int8"]]),
    ]:
        write_json(tiny_folder / "bge_micro.json", facts | {field: value})
        with pytest.raises(CheckpointError, match=field):
            load_folder(tiny_folder)


@pytest.mark.parametrize(
    "prefix", ["", "bert.", "model.", "0.auto_model.", "auto_model.", "module.", "module.bert."]
)
def test_common_prefixes_with_heads_and_buffers_beside(
    tiny_folder: Path, tiny_tensors: Tensors, prefix: str
) -> None:
    stored = {prefix + name: array for name, array in tiny_tensors.items()}
    stored |= {
        f"{prefix}embeddings.token_type_ids": np.zeros((1, 16), np.int64),
        f"{prefix}pooler.dense.bias": np.zeros(64, np.float32),
        "classifier.weight": np.zeros((2, 64), np.float32),
        "linear.weight": np.zeros((8, 64), np.float32),
        "cls.predictions.transform.dense.weight": np.zeros((64, 64), np.float32),
    }
    save_file(stored, tiny_folder / "model.safetensors")
    assert_same(load_folder(tiny_folder).tensors, tiny_tensors)
    stored[f"{prefix}encoder.layer.0.extra"] = np.zeros(1, np.float32)
    save_file(stored, tiny_folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="not part of a BERT encoder"):
        load_folder(tiny_folder)


def test_fields_that_make_no_difference(
    tiny_folder: Path, tiny_config: EncoderConfig, write_json: Callable[..., None]
) -> None:
    fields = json.loads((tiny_folder / "config.json").read_text())
    del fields["type_vocab_size"]
    write_json(tiny_folder / "config.json", fields | {"hidden_act": "gelu_python"})
    modules = json.loads((tiny_folder / "modules.json").read_text())
    dropout = {"idx": 2, "name": "2", "path": "2_Dropout"}
    dropout["type"] = "sentence_transformers.models.Dropout"
    write_json(tiny_folder / "modules.json", [*modules, dropout])
    assert load_folder(tiny_folder).config == tiny_config


@pytest.mark.parametrize("name", ["BertForSequenceClassification", "BertForMaskedLM", "HF_ColBERT"])
def test_models_for_another_task(
    tiny_folder: Path, write_json: Callable[..., None], name: str
) -> None:
    fields = json.loads((tiny_folder / "config.json").read_text())
    write_json(tiny_folder / "config.json", fields | {"architectures": [name]})
    load_folder(tiny_folder)  # modules.json says that it embeds texts
    (tiny_folder / "modules.json").unlink()
    with pytest.warns(ModelWarning, match=f"the model is a {name}"):
        load_folder(tiny_folder)
    write_json(tiny_folder / "config.json", fields)
    load_folder(tiny_folder)
