"""The bundled model: what it is, and that it is exactly what scripts/bundle makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro import _core
from bge_micro.checkpoint import Checkpoint, EncoderConfig, bundled_folder, load_folder
from bge_micro.checkpoint.side_file import file_sha256
from bge_micro.checkpoint.tensors import all_linears
from bge_micro.convert import convert_official
from bge_micro.convert.official import LICENSE, OFFSETS_SHA256, ONNX_SHA256, REVISION


@pytest.fixture(scope="module")
def bundle() -> Checkpoint:
    """Load the bundled model as the package does: mapped."""
    return load_folder(bundled_folder(), mmap=True)


def test_facts(bundle: Checkpoint) -> None:
    assert bundle.config == EncoderConfig(3, 384, 12, 1536, 30522, 512, 2, 1e-12)
    assert (bundle.pooling, bundle.normalize, bundle.max_seq_length) == ("mean", False, 512)
    assert bundle.prompts == {}
    assert bundle.similarity_fn_name == "cosine"
    side_file = bundle.side_file
    assert side_file is not None
    assert side_file.source["repo_id"] == "TaylorAI/bge-micro-v2"
    assert side_file.source["revision"] == REVISION
    assert side_file.source["sha256"] == ONNX_SHA256
    assert side_file.source["offsets_sha256"] == OFFSETS_SHA256
    assert side_file.numerics_version == _core.numerics_version
    assert side_file.license == LICENSE.summary == "MIT, Copyright (c) 2023 Benjamin Anderson"
    assert (bundle.folder / "LICENSE").read_text() == LICENSE.text


def test_checksums_are_those_of_the_files(bundle: Checkpoint) -> None:
    assert bundle.side_file is not None
    assert bundle.side_file.sha256.keys() == {"model.safetensors", "tokenizer.json"}
    for name, expected in bundle.side_file.sha256.items():
        assert file_sha256(bundle.folder / name) == expected


def test_size(bundle: Checkpoint) -> None:
    files = [path for path in bundle.folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 19e6


def test_tokenizer_stores_neither_padding_nor_truncation(bundle: Checkpoint) -> None:
    tokenizer = json.loads(bundle.tokenizer_file.read_text(encoding="utf-8"))
    assert tokenizer["padding"] is None
    assert tokenizer["truncation"] is None
    assert len(tokenizer["model"]["vocab"]) == bundle.config.vocab


def test_words_and_linears_are_not_copied(bundle: Checkpoint) -> None:
    words = bundle.tensors["embeddings.word_embeddings.weight"]
    assert words.dtype == np.int8
    base: Any = words
    while isinstance(base, np.ndarray):
        assert not base.flags.owndata
        base = base.base


def test_words_have_a_scale_each_and_linears_a_factor(bundle: Checkpoint) -> None:
    assert bundle.tensors["embeddings.word_embeddings.scale"].shape == (bundle.config.vocab,)
    for linear in all_linears(bundle.config):
        values = bundle.tensors[f"{linear.name}.weight"]
        assert values.dtype == np.int8
        assert bundle.tensors[f"{linear.name}.input_factor"].shape == (linear.in_features,)
        # The bound by which AVX2 adds most of them up in pairs, and a little for rounding.
        rms = np.sqrt(np.square(values.astype(np.float64)).mean(axis=1))
        assert rms.max() < 31


@pytest.mark.slow
def test_the_bundle_is_what_the_script_makes(
    bundle: Checkpoint, shared_model: Path, tmp_path: Path
) -> None:
    """Byte for byte; minutes."""
    pytest.importorskip("onnx", reason="reading ONNX files needs the extra bge-micro[convert]")
    from scripts.bundle.__main__ import make

    out = make(shared_model, tmp_path / "fresh")
    fresh = {str(p.relative_to(out)): p for p in out.rglob("*") if p.is_file()}
    committed = {
        str(p.relative_to(bundle.folder)): p for p in bundle.folder.rglob("*") if p.is_file()
    }
    assert fresh.keys() == committed.keys()
    for name, path in fresh.items():
        assert path.read_bytes() == committed[name].read_bytes(), name


def test_another_export_is_not_the_official_one(tmp_path: Path) -> None:
    other = tmp_path / "model.onnx"
    other.write_bytes(b"something else")
    with pytest.raises(ValueError, match=f"expected {ONNX_SHA256}"):
        convert_official(other, other, tmp_path / "out")
