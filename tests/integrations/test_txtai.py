"""The external transform, against txtai."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("txtai", reason="txtai is not installed")

from txtai import Embeddings

from bge_micro import SentenceTransformer
from bge_micro.integrations.txtai import BgeMicroTransform


def test_vectors(texts: list[str], vectors: NDArray[np.float32]) -> None:
    assert BgeMicroTransform()(texts).tobytes() == vectors.tobytes()
    embeddings = Embeddings(method="external", transform=BgeMicroTransform)
    # txtai divides by the lengths once more, which are 1 up to rounding.
    assert abs(embeddings.batchtransform(texts) - vectors).max() < 1e-6


def test_settings(texts: list[str]) -> None:
    transform = partial(BgeMicroTransform, compute_type="float32", truncate_dim=64)
    embeddings = Embeddings(method="external", transform=transform)
    model = SentenceTransformer(compute_type="float32", truncate_dim=64)
    expected = model.encode(texts, normalize_embeddings=True)
    assert transform()(texts).tobytes() == expected.tobytes()
    assert abs(embeddings.batchtransform(texts) - expected).max() < 1e-6


def test_an_index_is_saved_and_finds_the_text(
    tmp_path: Path, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOW_RESOLVE_TRANSFORM", "1")
    name = "bge_micro.integrations.txtai.BgeMicroTransform"
    embeddings = Embeddings(method="external", transform=name, content=True)
    embeddings.index(texts)
    embeddings.save(str(tmp_path / "index"))
    loaded = Embeddings()
    loaded.load(str(tmp_path / "index"))
    for found in (embeddings, loaded):
        assert found.search("a bakery makes bread", 1)[0]["text"] == texts[3]
