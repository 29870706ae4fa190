"""Libraries that reach embeddings over HTTP, unchanged, against `bge-micro serve`'s application."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import SentenceTransformer

pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
pytest.importorskip("langchain_ollama", reason="langchain-ollama is not installed")
pytest.importorskip("llama_index.embeddings.openai_like", reason="it is not installed")

import openai
import tiktoken
from langchain_ollama import OllamaEmbeddings
from langchain_openai import OpenAIEmbeddings
from llama_index.core import Document
from llama_index.core.node_parser import SentenceSplitter
from llama_index.embeddings.openai_like import OpenAILikeEmbedding

from server.servers import Running, running

# These libraries leave it to the garbage collector to close their connections.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

QUERIES = [
    *("how to reset a password", "opening hours", "cancel my order", "what is the weather today"),
    *("best bread recipe", "cheap flights to Rome", "python list comprehension", "tax return 2024"),
    *("symptoms of flu", "who wrote Hamlet", "train timetable", "install a printer driver"),
    *("change the colour of a page", "lost luggage", "bank holidays", "cat food"),
    *("learn to knit", "interest rates", "near me", "hello world"),
]


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return SentenceTransformer()


@pytest.fixture(scope="module")
def server(model: SentenceTransformer) -> Iterator[Running]:
    with running(model) as server:
        yield server


@pytest.fixture(autouse=True)
def tiktoken_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """LlamaIndex has the vocabularies that tiktoken would fetch from the network."""
    spec = find_spec("llama_index.core")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "_static/tiktoken_cache"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))


def same(rows: Any, expected: NDArray[np.float32]) -> bool:
    return np.array(rows, np.float32).tobytes() == expected.tobytes()


def test_langchain_and_openai(server: Running, model: SentenceTransformer) -> None:
    """By default LangChain sends tiktoken's ids: every one of these queries is refused."""
    options: Any = {
        "model": "bge-micro-v2",
        "base_url": f"{server.url}/v1",
        "api_key": "none",
        "max_retries": 0,
    }
    embeddings = OpenAIEmbeddings(**options)
    for query in QUERIES:
        assert max(tiktoken.get_encoding("cl100k_base").encode(query)) > 0
        with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
            embeddings.embed_query(query)
    embeddings = OpenAIEmbeddings(**options, check_embedding_ctx_length=False)
    expected = model.encode(QUERIES, normalize_embeddings=True)
    assert same(embeddings.embed_documents(QUERIES), expected)
    assert same(embeddings.embed_query(QUERIES[0]), expected[0])
    assert same(asyncio.run(embeddings.aembed_documents(QUERIES)), expected)


def test_langchain_and_ollama(server: Running, model: SentenceTransformer) -> None:
    embeddings = OllamaEmbeddings(
        model="bge-micro-v2", base_url=server.url, validate_model_on_init=True, keep_alive=60
    )
    expected = model.encode(QUERIES, normalize_embeddings=True)
    assert same(embeddings.embed_documents(QUERIES), expected)
    assert same(embeddings.embed_query(QUERIES[0]), expected[0])
    assert same(asyncio.run(embeddings.aembed_documents(QUERIES)), expected)
    short = OllamaEmbeddings(model="bge-micro-v2", base_url=server.url, dimensions=64)
    cut = model.encode(QUERIES, normalize_embeddings=True, truncate_dim=64)
    assert same(short.embed_documents(QUERIES), cut)
    with pytest.raises(ValueError, match="not found"):
        OllamaEmbeddings(model="llama3", base_url=server.url, validate_model_on_init=True)


def test_llama_index_and_its_long_chunks(model: SentenceTransformer) -> None:
    """Its default splitter makes chunks of 1,024 tokens, which only --truncate accepts."""
    text = " ".join(f"This is sentence {number} of a long document." for number in range(400))
    chunks = [
        node.get_content()
        for node in SentenceSplitter().get_nodes_from_documents([Document(text=text)])
    ]
    assert model.count_tokens(chunks).truncated.any()
    options: Any = {"model_name": "bge-micro-v2", "api_key": "none", "max_retries": 0}
    with running(model) as server:
        embedding = OpenAILikeEmbedding(api_base=f"{server.url}/v1", **options)
        with pytest.raises(openai.BadRequestError, match="--truncate"):
            embedding.get_text_embedding_batch(chunks)
    with running(model, auto_truncate=True) as server:
        embedding = OpenAILikeEmbedding(api_base=f"{server.url}/v1/", **options)
        expected = model.encode(chunks, normalize_embeddings=True)
        assert same(embedding.get_text_embedding_batch(chunks), expected)
