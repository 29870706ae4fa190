"""Damaged model folders: each fault is refused by an error that names the file and the tensor."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from bge_micro.checkpoint import CheckpointError, MissingFileError, load_folder

Tensors = dict[str, NDArray[Any]]
WORDS = "embeddings.word_embeddings.weight"
QUERY = "encoder.layer.0.attention.self.query"


@pytest.fixture
def edit_json() -> Callable[..., None]:
    """Return a function that changes or removes (None) fields of a JSON file."""

    def edit(path: Path, **fields: Any) -> None:
        value = json.loads(path.read_text()) if path.exists() else {}
        value |= fields
        path.write_text(json.dumps({k: v for k, v in value.items() if v is not None}))

    return edit


def with_value(value: float, at: int = -1) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def change(array: NDArray[Any]) -> NDArray[Any]:
        array = array.copy()
        array.reshape(-1)[at] = value
        return array

    return change


DAMAGES = {
    "left out": (WORDS, lambda a: None, "missing"),
    "transposed": (WORDS, lambda a: a.T.copy(), "shape is"),
    "one row short": (f"{QUERY}.bias", lambda a: a[:-1], "shape is"),
    "of another dtype": (f"{QUERY}.bias", lambda a: a.astype(np.float64), "dtype is F64"),
    "of integers": (f"{QUERY}.bias", lambda a: a.astype(np.int8), "dtype is I8"),
    "with NaN": ("embeddings.LayerNorm.weight", with_value(np.nan), "NaN"),
    "with infinity": ("encoder.layer.1.output.dense.bias", with_value(-np.inf), "infinity"),
    "linear with -128": (f"{QUERY}.weight", with_value(-128), "-128"),
    "scale left out": (f"{QUERY}.weight_scale", lambda a: None, "missing"),
    "scale of zero": (f"{QUERY}.weight_scale", with_value(0.0), "above zero"),
    "scale with NaN": (f"{QUERY}.weight_scale", with_value(np.nan), "NaN"),
    "scale one short": (f"{QUERY}.weight_scale", lambda a: a[:-1], "shape is"),
    "words' scale left out": ("embeddings.word_embeddings.scale", lambda a: None, "missing"),
    "words' scale one short": (
        "embeddings.word_embeddings.scale",
        lambda a: np.repeat(a, 9),
        "shape is",
    ),
    "words' scale of zero for one word": (
        "embeddings.word_embeddings.scale",
        lambda a: with_value(0.0)(np.repeat(a, 10)),
        "above zero",
    ),
    "factor negative": (f"{QUERY}.input_factor", with_value(-1.0), "above zero"),
    "factors differ": (f"{QUERY}.input_factor", with_value(3.0), "same for all three"),
    "factor of one only": (
        "encoder.layer.0.attention.self.key.input_factor",
        lambda a: None,
        "same for all three",
    ),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damaged_tensors_are_named(tiny_folder: Path, quantised: Tensors, case: str) -> None:
    name, change, message = DAMAGES[case]
    array = quantised.pop(name)
    replacement = change(array)  # type: ignore[no-untyped-call]
    if replacement is not None:
        quantised[name] = replacement
    save_file(quantised, tiny_folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=message) as caught:
        load_folder(tiny_folder)
    assert str(tiny_folder / "model.safetensors") in str(caught.value)
    assert name.rpartition(".")[2] in str(caught.value)


def test_nan_is_found_behind_the_first_chunk(
    tiny_folder: Path, tiny_tensors: Tensors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bge_micro.checkpoint.tensors._CHUNK", 7)
    tiny_tensors[WORDS][-1, -1] = np.nan
    save_file(tiny_tensors, tiny_folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=WORDS):
        load_folder(tiny_folder)


def test_unknown_tensors_are_named(tiny_folder: Path, tiny_tensors: Tensors) -> None:
    tiny_tensors["encoder.layer.2.output.dense.bias"] = np.zeros(64, np.float32)
    save_file(tiny_tensors, tiny_folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"layer\.2\.output\.dense\.bias' is not part"):
        load_folder(tiny_folder)


def test_a_lying_config_is_found_out(tiny_folder: Path, edit_json: Callable[..., None]) -> None:
    edit_json(tiny_folder / "config.json", vocab_size=2**24)
    with pytest.raises(CheckpointError, match=r"shape is \[10, 64\], but.*\[16777216, 64\]"):
        load_folder(tiny_folder)
    edit_json(tiny_folder / "config.json", vocab_size=10, num_hidden_layers=200)
    with pytest.raises(CheckpointError, match="and 3163 more are missing"):
        load_folder(tiny_folder)


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "1_Pooling/config.json", "tokenizer.json"]
)
def test_missing_files_are_named(tiny_folder: Path, name: str) -> None:
    (tiny_folder / name).unlink()
    with pytest.raises(MissingFileError, match=name.replace(".", r"\.")) as caught:
        load_folder(tiny_folder)
    assert str(tiny_folder) in str(caught.value)


def test_missing_folder_and_pickled_weights(tiny_folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_folder(tiny_folder / "nowhere")
    (tiny_folder / "model.safetensors").rename(tiny_folder / "pytorch_model.bin")
    with pytest.raises(MissingFileError, match=r"found only pytorch_model\.bin"):
        load_folder(tiny_folder)


@pytest.mark.parametrize("step", [1, 2])
def test_truncated_weights_never_load(tiny_folder: Path, step: int) -> None:
    path = tiny_folder / "model.safetensors"
    content = path.read_bytes()
    for length in range(step, len(content), 9973 * step):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            load_folder(tiny_folder)


def test_damaged_json_files_load_or_are_named(
    tiny_folder: Path, write_json: Callable[..., None]
) -> None:
    write_json(tiny_folder / "sentence_bert_config.json", {"max_seq_length": 8})
    write_json(tiny_folder / "tokenizer_config.json", {"model_max_length": 8})
    write_json(tiny_folder / "config_sentence_transformers.json", {"prompts": {"q": "q: "}})
    rng = random.Random(5)
    refused = 0
    for path in sorted(tiny_folder.rglob("*.json")):
        content = path.read_bytes()
        for _ in range(60):
            damaged = bytearray(content)
            at = rng.randrange(len(damaged))
            damaged[at : at + rng.randint(0, 3)] = rng.choice(
                [b"", b"9", b"-1", b"null", b"{}", b"[", b'"', b"1e999", b"\xff", b"true"]
            )
            path.write_bytes(damaged)
            try:
                load_folder(tiny_folder)
            except CheckpointError as error:
                assert str(tiny_folder) in str(error)  # noqa: PT017 (loading is fine too)
                refused += 1
        path.write_bytes(content)
    assert refused > 200
