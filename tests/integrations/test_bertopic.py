"""The backends of BERTopic and KeyBERT, against bertopic and keybert."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("bertopic", reason="bertopic is not installed")
pytest.importorskip("keybert", reason="keybert is not installed")

from bertopic import BERTopic
from bertopic.backend._utils import select_backend
from keybert import KeyBERT
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer

from bge_micro.integrations import bertopic, keybert

SEA = ["ship", "harbour", "sailor", "storm", "anchor", "tide"]
KITCHEN = ["bread", "oven", "onion", "soup", "salt", "pan"]


def sentences(words: list[str]) -> list[str]:
    return [f"The {one} and the {two} belong together." for one in words for two in words]


def test_backends_give_what_encode_gives(texts: list[str], vectors: NDArray[np.float32]) -> None:
    backend = bertopic.BgeMicroBackend()
    assert select_backend(backend) is backend
    for found in (
        backend.embed(texts),
        backend.embed_documents(texts),
        backend.embed_words(texts),
        keybert.BgeMicroBackend().embed(texts),
    ):
        assert found.tobytes() == vectors.tobytes()


def test_topics(tmp_path: Path) -> None:
    documents = sentences(SEA) + sentences(KITCHEN)
    # Deterministic parts instead of UMAP and HDBSCAN: the embeddings alone are under test.
    model = BERTopic(
        embedding_model=bertopic.BgeMicroBackend(),
        umap_model=PCA(5, random_state=0),
        hdbscan_model=KMeans(2, random_state=0, n_init=4),
        vectorizer_model=CountVectorizer(stop_words="english"),
    )
    topics, _ = model.fit_transform(documents)
    sea, kitchen = topics[: len(SEA) ** 2], topics[len(SEA) ** 2 :]
    assert sea.count(max(set(sea), key=sea.count)) >= 0.9 * len(sea)
    assert kitchen.count(max(set(kitchen), key=kitchen.count)) >= 0.9 * len(kitchen)
    assert set(sea) | set(kitchen) == {0, 1}
    (found,), _ = model.find_topics("boats on the water", top_n=1)
    assert found == max(set(sea), key=sea.count)
    model.save(tmp_path / "topics", serialization="safetensors", save_embedding_model=False)
    loaded = BERTopic.load(tmp_path / "topics", embedding_model=bertopic.BgeMicroBackend())
    assert loaded.find_topics("boats on the water", top_n=1)[0] == [found]


def test_keywords() -> None:
    text = (
        "Sourdough bread needs time: the baker mixes flour and water, waits for a day, and bakes "
        "the loaf in a hot oven until the crust is brown."
    )
    keywords = KeyBERT(model=keybert.BgeMicroBackend()).extract_keywords(text, top_n=3)
    assert len(keywords) == 3
    assert "sourdough" in {word for word, _ in keywords}
