"""Every family of models, read from its own files, against float64 arithmetic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import reference
from bge_micro import SentenceTransformer
from bge_micro.checkpoint import CheckpointError, load_folder
from bge_micro.checkpoint.config import parse_config
from bge_micro.quantize import quantize_checkpoint
from family_models import (
    KINDS,
    TEXTS,
    config_fields,
    family_weights,
    token_ids,
    write_family_folder,
)
from random_weights import Tensors

pytestmark = pytest.mark.parametrize("kind", [pytest.param(k, id=n) for n, k in KINDS.items()])


def expected(tensors: Tensors, config: Any, texts: list[str] = TEXTS) -> list[NDArray[np.float64]]:
    """Return the vectors of the texts in float64."""
    return [reference.encode(tensors, token_ids(text), config).vector for text in texts]


def cosines(found: NDArray[np.float32], wanted: list[NDArray[np.float64]]) -> list[float]:
    pairs = zip(found.astype(np.float64), wanted, strict=True)
    return [float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))) for a, b in pairs]


@pytest.mark.parametrize("headed", [False, True])
def test_vectors(kind: Any, headed: bool, tmp_path: Path) -> None:
    tensors = family_weights(kind)
    write_family_folder(tmp_path, kind, tensors, kind.family.prefix if headed else "")
    checkpoint = load_folder(tmp_path)
    assert checkpoint.config == kind.config
    assert checkpoint.max_seq_length == kind.config.max_tokens
    longest = " ".join(f"w{7 * n * n % 50}" for n in range(kind.config.max_tokens - 2))
    texts = [*TEXTS, longest]
    found = SentenceTransformer(tmp_path, compute_type="float32").encode(texts)
    wanted = expected(tensors, kind.config, texts)
    np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())


def test_int8(kind: Any, tmp_path: Path) -> None:
    tensors = family_weights(kind)
    write_family_folder(tmp_path, kind, tensors)
    found = SentenceTransformer(tmp_path, compute_type="int8").encode(TEXTS)
    eight = quantize_checkpoint(tensors, kind.config)
    assert min(cosines(found, expected(eight, kind.config))) > 0.998
    assert np.mean(cosines(found, expected(tensors, kind.config))) > 0.998


def test_config_round_trip(kind: Any) -> None:
    assert parse_config(kind.config.to_json(), "here") == kind.config


@pytest.mark.parametrize("compute_type", ["float32", "int8"])
def test_saved_folders_give_the_same_bits(kind: Any, compute_type: Any, tmp_path: Path) -> None:
    write_family_folder(tmp_path / "own", kind, family_weights(kind))
    model = SentenceTransformer(tmp_path / "own", compute_type=compute_type)
    model.save_pretrained(tmp_path / "saved", compute_type=compute_type)
    again = SentenceTransformer(tmp_path / "saved", compute_type=compute_type)
    assert again.encode(TEXTS).tobytes() == model.encode(TEXTS).tobytes()


def test_a_text_may_fill_all_positions(kind: Any, tmp_path: Path) -> None:
    write_family_folder(tmp_path, kind, family_weights(kind))
    model = SentenceTransformer(tmp_path)
    words = " ".join(["w1"] * 200)
    assert len(model.encode(words, output_value="token_embeddings")) == kind.config.max_tokens


def test_other_activations_are_refused(kind: Any, tmp_path: Path) -> None:
    write_family_folder(tmp_path, kind, family_weights(kind))
    field = "activation" if "activation" in config_fields(kind) else "hidden_act"
    (tmp_path / "config.json").write_text(json.dumps(config_fields(kind) | {field: "relu"}))
    with pytest.raises(CheckpointError, match=f"{field} is 'relu', but only 'gelu' is supported"):
        load_folder(tmp_path)


def test_onnx_export(kind: Any, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs pip install onnxruntime")
    from bge_micro.convert.onnx_writer import write_onnx

    tensors = family_weights(kind)
    with (tmp_path / "model.onnx").open("wb") as file:
        write_onnx(file, tensors, kind.config, "mean", normalize=False)
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    for text, wanted in zip(TEXTS, expected(tensors, kind.config), strict=True):
        ids = np.array([token_ids(text)])
        feed = {"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0}
        (found,) = session.run(["sentence_embedding"], feed)
        np.testing.assert_allclose(found[0], wanted, atol=2e-5 * np.abs(wanted).max())
