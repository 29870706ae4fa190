"""Chroma's EmbeddingFunction, against chromadb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from api.child import run_child
from bge_micro import SentenceTransformer

pytest.importorskip("chromadb", reason="chromadb is not installed")

import chromadb
from chromadb.config import Settings
from chromadb.utils.embedding_functions import config_to_embedding_function

from bge_micro.integrations.chroma import BgeMicroEmbeddingFunction

QUIET = Settings(anonymized_telemetry=False)


def test_documents_and_queries(texts: list[str], vectors: NDArray[np.float32]) -> None:
    function = BgeMicroEmbeddingFunction()
    for rows in (function(texts), function.embed_query(texts)):
        assert np.array(rows).tobytes() == vectors.tobytes()
        assert {row.dtype for row in rows} == {np.dtype(np.float32)}
    assert not function.is_legacy()


def test_it_is_registered_and_made_again_from_its_config(texts: list[str]) -> None:
    function = BgeMicroEmbeddingFunction(compute_type="float32", truncate_dim=128, threads=1)
    config = {"name": function.name(), "config": function.get_config()}
    twin = config_to_embedding_function(config)
    assert isinstance(twin, BgeMicroEmbeddingFunction)
    assert twin.get_config() == function.get_config()
    model = SentenceTransformer(compute_type="float32", truncate_dim=128)
    expected = model.encode(texts, normalize_embeddings=True)
    assert np.array(twin(texts)).tobytes() == expected.tobytes()


def test_a_collection_on_disk_finds_its_function_again(tmp_path: Path, texts: list[str]) -> None:
    client = chromadb.PersistentClient(tmp_path, QUIET)
    collection = client.create_collection(
        "texts", embedding_function=BgeMicroEmbeddingFunction(compute_type="float32")
    )
    collection.add(ids=[str(row) for row in range(len(texts))], documents=texts)
    found = run_child(
        f"""
        import json
        import chromadb
        from chromadb.config import Settings
        import bge_micro.integrations.chroma
        client = chromadb.PersistentClient({str(tmp_path)!r}, Settings(anonymized_telemetry=False))
        collection = client.get_collection("texts")
        result = collection.query(query_texts=["a bakery makes bread"], n_results=1)
        config = collection.configuration_json
        space = (config.get("hnsw") or config["spann"])["space"]
        print(json.dumps([result["documents"][0][0], space, config["embedding_function"]]))
        """
    )
    assert found[:2] == [texts[3], "cosine"]
    assert found[2]["name"] == "bge_micro"
    assert found[2]["config"] == {"compute_type": "float32"}


@pytest.mark.parametrize(
    ("update", "allowed"),
    [
        ({"threads": 2, "model_name_or_path": "elsewhere"}, True),
        ({"compute_type": "float32"}, False),
        ({"truncate_dim": 64}, False),
        ({"normalize_embeddings": False}, False),
    ],
)
def test_settings_that_change_vectors_cannot_change(update: dict[str, Any], allowed: bool) -> None:
    function = BgeMicroEmbeddingFunction()
    if allowed:
        function.validate_config_update(function.get_config(), update)
    else:
        with pytest.raises(ValueError, match="would make others"):
            function.validate_config_update(function.get_config(), update)


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_codes_are_refused(precision: Any) -> None:
    with pytest.raises(ValueError, match=f"precision is '{precision}'.*needs float32"):
        BgeMicroEmbeddingFunction(precision=precision)


def test_one_string_is_no_list() -> None:
    function = BgeMicroEmbeddingFunction()
    for call in (function, function.embed_query):
        with pytest.raises(TypeError, match="found one string"):
            call("one text")


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(TypeError, match="chunk_size"):
        BgeMicroEmbeddingFunction.validate_config({"chunk_size": 3})
