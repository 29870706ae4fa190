"""Haystack's text and document embedders, against haystack-ai."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from integrations.event_loop import run_beside_a_blocked_model

pytest.importorskip("haystack", reason="haystack-ai is not installed")

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore

from bge_micro.integrations.haystack import BgeMicroDocumentEmbedder, BgeMicroTextEmbedder

TRUSTED = ["bge_micro.integrations.haystack"]


def test_texts_and_documents(texts: list[str], vectors: NDArray[np.float32]) -> None:
    assert BgeMicroTextEmbedder().run(text=texts[0]) == {"embedding": vectors[0].tolist()}
    documents = [Document(content=text, meta={"row": row}) for row, text in enumerate(texts)]
    embedder = BgeMicroDocumentEmbedder()
    embedder.warm_up()
    embedded = embedder.run(documents=documents)["documents"]
    assert [document.embedding for document in embedded] == vectors.tolist()
    assert [document.meta["row"] for document in embedded] == list(range(len(texts)))
    assert all(document.embedding is None for document in documents)


def test_async(
    monkeypatch: pytest.MonkeyPatch, texts: list[str], vectors: NDArray[np.float32]
) -> None:
    text = run_beside_a_blocked_model(
        monkeypatch, lambda: BgeMicroTextEmbedder().run_async(text=texts[0])
    )
    assert text["embedding"] == vectors[0].tolist()
    documents = [Document(content=text) for text in texts]
    embedded = run_beside_a_blocked_model(
        monkeypatch, lambda: BgeMicroDocumentEmbedder().run_async(documents=documents)
    )
    assert [document.embedding for document in embedded["documents"]] == vectors.tolist()


def test_meta_fields_stand_before_the_content() -> None:
    embedder = BgeMicroDocumentEmbedder(
        meta_fields_to_embed=["title", "year", "absent"], embedding_separator=" - "
    )
    document = Document(content="Bread is baked.", meta={"title": "Bakery", "year": 1999})
    (embedded,) = embedder.run(documents=[document])["documents"]
    expected = BgeMicroTextEmbedder().run(text="Bakery - 1999 - Bread is baked.")
    assert embedded.embedding == expected["embedding"]


def find(store: InMemoryDocumentStore, embedder: BgeMicroTextEmbedder) -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_component("embedder", embedder)
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=1))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    return pipeline


def test_pipelines_survive_being_saved(texts: list[str]) -> None:
    store = InMemoryDocumentStore()
    indexing = Pipeline()
    indexing.add_component(
        "embedder", BgeMicroDocumentEmbedder(compute_type="float32", meta_fields_to_embed=["title"])
    )
    indexing.add_component("writer", DocumentWriter(store))
    indexing.connect("embedder.documents", "writer.documents")
    saved = indexing.dumps()
    loaded = Pipeline.loads(saved, allowed_modules=TRUSTED)
    assert loaded.dumps() == saved
    twin = loaded.get_component("embedder")
    assert twin.meta_fields_to_embed == ["title"]
    assert twin.to_dict()["init_parameters"]["compute_type"] == "float32"

    indexing.run({"embedder": {"documents": [Document(content=text) for text in texts]}})
    querying = find(store, BgeMicroTextEmbedder(compute_type="float32", threads=1))
    (found,) = querying.run({"embedder": {"text": "a bakery makes bread"}})["retriever"][
        "documents"
    ]
    assert found.content == texts[3]
    result = asyncio.run(querying.run_async({"embedder": {"text": "sleeping cat"}}))
    assert result["retriever"]["documents"][0].content == texts[1]
    saved = querying.dumps()
    assert Pipeline.loads(saved, allowed_modules=TRUSTED).dumps() == saved


@pytest.mark.parametrize(
    ("embedder", "given", "other"),
    [
        (BgeMicroTextEmbedder(), {"text": [Document(content="a")]}, "BgeMicroDocumentEmbedder"),
        (BgeMicroDocumentEmbedder(), {"documents": ["a text"]}, "BgeMicroTextEmbedder"),
    ],
)
def test_the_wrong_kind_of_input_names_the_other_component(
    embedder: Any, given: dict[str, Any], other: str
) -> None:
    with pytest.raises(TypeError, match=other):
        embedder.run(**given)
    with pytest.raises(TypeError, match=other):
        asyncio.run(embedder.run_async(**given))
