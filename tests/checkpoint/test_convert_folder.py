"""Converting folders: quantised or floats, complete or not at all, the same bytes every time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from bge_micro.checkpoint import CheckpointError, EncoderConfig, load_folder
from bge_micro.convert import convert_folder
from bge_micro.quantize import dequantize_checkpoint, quantize_checkpoint

Tensors = dict[str, NDArray[Any]]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_int8_is_what_loading_would_quantise(
    tiny_folder: Path, tiny_config: EncoderConfig, tmp_path: Path
) -> None:
    expected = quantize_checkpoint(load_folder(tiny_folder).tensors, tiny_config)
    found = load_folder(convert_folder(tiny_folder, tmp_path / "int8")).tensors
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes()


def test_back_to_float32(tiny_folder: Path, tiny_config: EncoderConfig, tmp_path: Path) -> None:
    int8 = load_folder(convert_folder(tiny_folder, tmp_path / "int8"))
    expected = dequantize_checkpoint(int8.tensors, tiny_config)
    out = convert_folder(int8.folder, tmp_path / "float32", compute_type="float32")
    found = load_file(out / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].astype(np.float32).tobytes() == array.tobytes()


@pytest.mark.parametrize("scales", [1, 10])
def test_int8_words_become_floats_too(
    tiny_folder: Path, tiny_tensors: Tensors, tmp_path: Path, scales: int
) -> None:
    scale = np.linspace(0.0371, 0.05, scales, dtype=np.float32)
    words = np.arange(-128, 128, dtype=np.int16).astype(np.int8)[: 10 * 64 // 4].repeat(4)
    tiny_tensors["embeddings.word_embeddings.weight"] = words.reshape(10, 64)
    tiny_tensors["embeddings.word_embeddings.scale"] = scale
    save_file(tiny_tensors, tiny_folder / "model.safetensors")
    out = convert_folder(tiny_folder, tmp_path / "float32", compute_type="float32")
    found = load_file(out / "model.safetensors")
    assert "embeddings.word_embeddings.scale" not in found
    expected = words.reshape(10, 64).astype(np.float32) * scale[:, np.newaxis]
    assert found["embeddings.word_embeddings.weight"].tobytes() == expected.tobytes()


def test_half_precision_is_kept_where_it_is_exact(
    tiny_folder: Path, tiny_tensors: Tensors, tmp_path: Path
) -> None:
    half = {name: array.astype(np.float16) for name, array in tiny_tensors.items()}
    save_file(half, tiny_folder / "model.safetensors")
    out = convert_folder(tiny_folder, tmp_path / "out")
    stored = load_file(out / "model.safetensors")
    assert stored["embeddings.word_embeddings.weight"].dtype == np.float16
    before, after = load_folder(tiny_folder).tensors, load_folder(out).tensors
    name = "embeddings.word_embeddings.weight"
    assert after[name].tobytes() == before[name].tobytes()


def test_everything_around_the_weights_is_kept(
    tiny_folder: Path, tmp_path: Path, write_json: Callable[..., None]
) -> None:
    write_json(tiny_folder / "1_Pooling/config.json", {"pooling_mode": "cls"})
    write_json(tiny_folder / "sentence_bert_config.json", {"max_seq_length": 9})
    tokenizer = {"normalizer": {"lowercase": True}, "padding": {"length": 512}, "truncation": {}}
    write_json(tiny_folder / "tokenizer.json", tokenizer)
    modules = json.loads((tiny_folder / "modules.json").read_text())
    modules.append({"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"})
    write_json(tiny_folder / "modules.json", modules)
    write_json(
        tiny_folder / "config_sentence_transformers.json",
        {
            "prompts": {"query": "q: "},
            "default_prompt_name": "query",
            "similarity_fn_name": "dot",
            "truncate_dim": 32,
        },
    )
    (tiny_folder / "LICENSE").write_text("Some License\n\nof someone\n")
    checkpoint = load_folder(
        convert_folder(tiny_folder, tmp_path / "out", repo_id="org/tiny", revision="abc")
    )
    before = load_folder(tiny_folder)
    for field in (
        "config",
        "pooling",
        "normalize",
        "max_seq_length",
        "prompts",
        "default_prompt_name",
        "similarity_fn_name",
        "truncate_dim",
    ):
        assert getattr(checkpoint, field) == getattr(before, field), field
    found = json.loads(checkpoint.tokenizer_file.read_text())
    assert found == tokenizer | {"padding": None, "truncation": None}
    assert (checkpoint.folder / "LICENSE").read_text() == "Some License\n\nof someone\n"
    assert checkpoint.side_file is not None
    assert checkpoint.side_file.license == "Some License"
    assert checkpoint.side_file.source == {
        "file": "model.safetensors",
        "sha256": before.weights_sha256(),
        "repo_id": "org/tiny",
        "revision": "abc",
    }
    again = load_folder(convert_folder(checkpoint.folder, tmp_path / "again"))
    assert again.side_file is not None
    assert again.side_file.source == checkpoint.side_file.source  # the origin, not the copy


def test_a_vocabulary_becomes_a_tokenizer(tiny_folder: Path, tmp_path: Path) -> None:
    (tiny_folder / "tokenizer.json").unlink()
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##b", "c", "."]
    (tiny_folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    out = convert_folder(tiny_folder, tmp_path / "out")
    tokenizer = json.loads((out / "tokenizer.json").read_text(encoding="utf-8"))
    assert list(tokenizer["model"]["vocab"]) == tokens
    assert tokenizer["padding"] is None
    assert tokenizer["truncation"] is None


def test_the_same_bytes_every_time(tiny_folder: Path, tmp_path: Path) -> None:
    first = convert_folder(tiny_folder, tmp_path / "first")
    second = convert_folder(tiny_folder, tmp_path / "second")
    assert files_of(first) == files_of(second)
    assert not list(tmp_path.glob(".*"))


def test_nothing_is_overwritten_and_nothing_half_written(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    convert_folder(tiny_folder, out)  # empty: may be used
    before = files_of(out)
    with pytest.raises(FileExistsError, match="not an empty folder"):
        convert_folder(tiny_folder, out)
    assert files_of(out) == before
    with pytest.raises(FileExistsError):
        convert_folder(tiny_folder, out / "config.json")

    def fail(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("bge_micro.convert.folder_writer._write_modules", fail)
    with pytest.raises(OSError, match="no space"):
        convert_folder(tiny_folder, tmp_path / "never")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tiny"]


def test_bad_requests(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="compute_type is 'int4'"):
        convert_folder(tiny_folder, tmp_path / "out", compute_type="int4")
    with pytest.raises(CheckpointError, match="found no folder"):
        convert_folder(tmp_path / "absent", tmp_path / "out")
    assert not (tmp_path / "out").exists()
