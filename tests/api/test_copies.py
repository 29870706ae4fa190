"""Copies of a loaded model: by copy, by pickle, in another process."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import SentenceTransformer
from patience import PATIENCE

TEXTS = ["a b c", "", "abc def. gh", "h, " * 40, "bcb e"]


def changed(model: SentenceTransformer) -> SentenceTransformer:
    """Change every setting that is not part of the weights."""
    model.max_seq_length = 7
    model.prompts["q"] = "c "
    model.default_prompt_name = "q"
    model.truncate_dim = 24
    model.similarity_fn_name = "euclidean"
    model.truncation = "warn"
    model.errors = "replace"
    return model


def settings_of(model: SentenceTransformer) -> dict[str, str]:
    return {
        name: str(getattr(model, name))  # as text, so that no later change alters it
        for name in (
            "max_seq_length", "prompts", "default_prompt_name", "truncate_dim", "threads",
            "similarity_fn_name", "truncation", "errors", "compute_type", "isa", "space_id",
        )
    }  # fmt: skip


@pytest.mark.parametrize("compute_type", ["int8", "float32"])
@pytest.mark.parametrize(
    "duplicate", [lambda model: pickle.loads(pickle.dumps(model)), copy.copy, copy.deepcopy]
)
def test_copies(
    tiny_folder: Path, compute_type: str, duplicate: Callable[[Any], SentenceTransformer]
) -> None:
    original = changed(SentenceTransformer(tiny_folder, compute_type=compute_type, threads=2))
    twin = duplicate(original)
    assert settings_of(twin) == settings_of(original)
    short = ["a b", "c"]
    assert twin.encode(short).tobytes() == original.encode(short).tobytes()
    before = settings_of(original)
    twin.prompts["q"], twin.max_seq_length, twin.truncate_dim = "d ", 5, 3
    assert settings_of(original) == before


def test_a_pickle_holds_the_source_only() -> None:
    assert len(pickle.dumps(SentenceTransformer())) < 2000


def encode_elsewhere(model: SentenceTransformer) -> NDArray[np.float32]:
    return model.encode(TEXTS)


def test_a_spawned_process(tiny_folder: Path) -> None:
    local = SentenceTransformer(tiny_folder, truncate_dim=24, threads=2)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        elsewhere = executor.submit(encode_elsewhere, local).result(PATIENCE)
    assert elsewhere.tobytes() == local.encode(TEXTS).tobytes()
