"""LlamaIndex's BaseEmbedding, against llama-index-core."""

from __future__ import annotations

import asyncio
import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import SentenceTransformer
from integrations.event_loop import run_beside_a_blocked_model

pytest.importorskip("llama_index.core", reason="llama-index-core is not installed")

from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode

from bge_micro.integrations.llama_index import BgeMicroEmbedding


def test_texts_and_queries(texts: list[str], vectors: NDArray[np.float32]) -> None:
    embedding = BgeMicroEmbedding()
    assert isinstance(embedding, BaseEmbedding)
    assert embedding.get_text_embedding_batch(texts) == vectors.tolist()
    assert embedding.get_text_embedding(texts[0]) == vectors[0].tolist()
    assert embedding.get_query_embedding(texts[1]) == vectors[1].tolist()


def test_async(
    monkeypatch: pytest.MonkeyPatch, texts: list[str], vectors: NDArray[np.float32]
) -> None:
    embedding = BgeMicroEmbedding(embed_batch_size=2)
    many = run_beside_a_blocked_model(
        monkeypatch, lambda: embedding.aget_text_embedding_batch(texts)
    )
    assert many == vectors.tolist()
    one = run_beside_a_blocked_model(monkeypatch, lambda: embedding.aget_text_embedding(texts[0]))
    assert one == vectors[0].tolist()
    query = run_beside_a_blocked_model(
        monkeypatch, lambda: embedding.aget_query_embedding(texts[1])
    )
    assert query == vectors[1].tolist()


def test_an_index_finds_the_text(texts: list[str]) -> None:
    nodes = [TextNode(text=text) for text in texts if text]
    index = VectorStoreIndex(nodes, embed_model=BgeMicroEmbedding())
    retriever = index.as_retriever(similarity_top_k=1)
    assert retriever.retrieve("a bakery makes bread")[0].text == texts[3]
    assert asyncio.run(retriever.aretrieve("sleeping cat"))[0].text == texts[1]


def test_a_pipeline_embeds_nodes(texts: list[str], vectors: NDArray[np.float32]) -> None:
    pipeline = IngestionPipeline(transformations=[BgeMicroEmbedding()])
    nodes = pipeline.run(nodes=[TextNode(text=text) for text in texts])
    assert [node.embedding for node in nodes] == vectors.tolist()


def test_settings_are_saved_and_pickled(texts: list[str]) -> None:
    settings = {"compute_type": "float32", "normalize_embeddings": False}
    embedding = BgeMicroEmbedding(settings=settings, embed_batch_size=3)
    expected = SentenceTransformer(compute_type="float32").encode(texts).tolist()
    for twin in (
        embedding,
        pickle.loads(pickle.dumps(embedding)),
        BgeMicroEmbedding.from_json(embedding.to_json()),
        embedding.model_copy(),
    ):
        assert twin.get_text_embedding_batch(texts) == expected
        assert twin.settings == settings
        assert twin.embed_batch_size == 3
        assert twin.class_name() != MockEmbedding.class_name()


def test_wrong_settings_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match="chunk_size"):
        BgeMicroEmbedding(settings={"chunk_size": 3})
