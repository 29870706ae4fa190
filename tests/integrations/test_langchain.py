"""LangChain's Embeddings, against langchain-core."""

from __future__ import annotations

import asyncio
import pickle

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import SentenceTransformer
from integrations.event_loop import run_beside_a_blocked_model

pytest.importorskip("langchain_core", reason="langchain-core is not installed")

from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from bge_micro.integrations.langchain import BgeMicroEmbeddings


def test_documents_and_queries(texts: list[str], vectors: NDArray[np.float32]) -> None:
    embeddings = BgeMicroEmbeddings()
    assert isinstance(embeddings, Embeddings)
    documents = embeddings.embed_documents(texts)
    assert np.array(documents, np.float32).tobytes() == vectors.tobytes()
    assert {type(number) for row in documents for number in row} == {float}
    assert np.array(embeddings.embed_query(texts[0]), np.float32).tobytes() == vectors[0].tobytes()
    assert embeddings.embed_documents([]) == []


def test_async(
    monkeypatch: pytest.MonkeyPatch, texts: list[str], vectors: NDArray[np.float32]
) -> None:
    embeddings = BgeMicroEmbeddings()
    documents = run_beside_a_blocked_model(monkeypatch, lambda: embeddings.aembed_documents(texts))
    assert documents == vectors.tolist()
    query = run_beside_a_blocked_model(monkeypatch, lambda: embeddings.aembed_query(texts[1]))
    assert query == vectors[1].tolist()


def test_a_vector_store_finds_the_text(texts: list[str]) -> None:
    store = InMemoryVectorStore(BgeMicroEmbeddings())
    store.add_texts(texts)
    assert store.similarity_search("a bakery makes bread", k=1)[0].page_content == texts[3]
    found = asyncio.run(store.asimilarity_search("sleeping cat", k=1))
    assert found[0].page_content == texts[1]


def test_settings_and_pickling(texts: list[str]) -> None:
    embeddings = BgeMicroEmbeddings(compute_type="float32", normalize_embeddings=False)
    expected = SentenceTransformer(compute_type="float32").encode(texts).tolist()
    assert embeddings.embed_documents(texts) == expected
    assert pickle.loads(pickle.dumps(embeddings)).embed_documents(texts) == expected
    assert "compute_type='float32'" in repr(embeddings)
