"""Ollama's own client, unchanged, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import numpy as np
import ollama
import pytest

from bge_micro import SentenceTransformer, __version__
from bge_micro.server.access import Admission

from .servers import PATIENCE, Running, Start, running

TEXTS = ["The ferry leaves at noon.", "", "圖書館", "a 🙂 and\nmore " * 20]
LONG = "long " * 1000


@pytest.fixture
def own(server: Running) -> Iterator[ollama.Client]:
    with ollama.Client(server.url, timeout=PATIENCE) as client:
        yield client


def rows(answer: ollama.EmbedResponse) -> np.ndarray:
    return np.array(answer.embeddings, np.float32)


@pytest.mark.parametrize("name", ["bge-micro-v2", "bge-micro-v2:latest", "other/name"])
def test_embed(own: ollama.Client, model: SentenceTransformer, name: str) -> None:
    answer = own.embed(name, TEXTS, keep_alive="5m", options={"temperature": 0.1, "num_ctx": 8192})
    assert rows(answer).tobytes() == model.encode(TEXTS, normalize_embeddings=True).tobytes()
    assert answer.model == name
    assert answer.prompt_eval_count == int(model.count_tokens(TEXTS).used.sum())
    assert 10_000 < answer.total_duration < PATIENCE * 1e9  # nanoseconds
    assert answer.load_duration == 0
    one = own.embed(name, "hello", dimensions=32)
    expected = model.encode(["hello"], normalize_embeddings=True, truncate_dim=32)
    assert rows(one).tobytes() == expected.tobytes()


def test_long_texts_are_cut_unless_forbidden(
    own: ollama.Client, model: SentenceTransformer
) -> None:
    expected = model.encode([LONG], normalize_embeddings=True)
    for truncate in (None, True):
        assert rows(own.embed("bge-micro-v2", LONG, truncate=truncate)).tobytes() == (
            expected.tobytes()
        )
    with pytest.raises(ollama.ResponseError, match="row 1 has more than 512 tokens") as error:
        own.embed("bge-micro-v2", ["short", LONG], truncate=False)
    assert error.value.status_code == 400


def test_no_text_gives_no_vector(own: ollama.Client) -> None:
    """So clients load a model before they need it."""
    for nothing in ("", []):
        assert own.embed("bge-micro-v2", nothing).embeddings == []
    assert own.embeddings("bge-micro-v2").embedding == []
    assert len(own.embed("bge-micro-v2", [""]).embeddings) == 1


def test_the_older_route_does_not_normalise(own: ollama.Client, model: SentenceTransformer) -> None:
    for text in ("hello", LONG):
        got = np.array(own.embeddings("bge-micro-v2", text, keep_alive=5).embedding, np.float32)
        assert got.tobytes() == model.encode(text).tobytes()
        assert abs(np.linalg.norm(got) - 1) > 0.1


def test_models(own: ollama.Client, model: SentenceTransformer) -> None:
    for listed in (own.list().models, own.ps().models):
        assert [entry.model for entry in listed] == ["bge-micro-v2:latest", "other/name:latest"]
        assert listed[0].size > 1e7
        assert listed[0].details.family == "bert"
        assert len(listed[0].digest) == 64
    shown = own.show("bge-micro-v2:latest")
    assert shown.capabilities == ["embedding"]
    assert shown.modelinfo["bert.embedding_length"] == 384
    assert shown.modelinfo["bert.context_length"] == model.max_seq_length
    for name in ("llama3.2", "bge-micro-v2:7b"):
        with pytest.raises(ollama.ResponseError, match="has the model 'bge-micro-v2'") as error:
            own.show(name)
        assert error.value.status_code == 404


def test_errors_are_ollamas(own: ollama.Client, client: httpx.Client) -> None:
    for work, status in (
        (lambda: own.embed("llama3.2", "a"), 404),
        (lambda: own.embed("bge-micro-v2", "a", dimensions=1536), 400),
        (lambda: own.embed("bge-micro-v2", "a", options={"num_ctx": 256}), 400),
        (lambda: own.embed("bge-micro-v2", ["a"] * 2049), 400),
        (lambda: own.pull("llama3.2"), 404),
        (lambda: own.chat("bge-micro-v2"), 404),
    ):
        with pytest.raises(ollama.ResponseError) as error:
            work()
        assert error.value.status_code == status
        assert not error.value.error.startswith("{")  # the text in the client's own field
    for body in (
        {"model": ""},
        {"input": [[101, 102]]},
        {"input": 5},
        {"colour": "red"},
        {"options": []},
    ):
        answer = client.post("/api/embed", json={"model": "bge-micro-v2", **body})
        assert answer.status_code == 400
        assert answer.json().keys() == {"error"}
    assert client.get("/api/embed").json().keys() == {"error"}


def test_what_else_its_clients_ask(client: httpx.Client) -> None:
    assert client.head("/").status_code == client.get("/").status_code == 200
    version = client.get("/api/version").json()
    assert version["bge_micro"] == __version__
    assert tuple(map(int, version["version"].split("."))) >= (0, 3, 0)  # the first with /api/embed
    shown = client.post("/api/show", json={"name": "bge-micro-v2", "verbose": True})
    assert shown.json()["capabilities"] == ["embedding"]


def test_api_key(model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(model, admission=Admission("s3cret")) as server:
        monkeypatch.setenv("OLLAMA_API_KEY", "s3cret")
        with ollama.Client(server.url) as right:
            assert len(right.embed("bge-micro-v2", "a").embeddings) == 1
        monkeypatch.setenv("OLLAMA_API_KEY", "wrong")
        with ollama.Client(server.url) as wrong, pytest.raises(ollama.ResponseError) as error:
            wrong.list()
        assert error.value.status_code == 401


def test_many_at_once(server: Running, model: SentenceTransformer) -> None:
    texts = [f"question {number}?" + " and more" * (number % 40) for number in range(100)]

    async def ask_all() -> list[ollama.EmbedResponse]:
        async with ollama.AsyncClient(server.url, timeout=PATIENCE) as client:
            return await asyncio.gather(*(client.embed("bge-micro-v2", text) for text in texts))

    got = np.concatenate([rows(answer) for answer in asyncio.run(ask_all())])
    assert got.tobytes() == model.encode(texts, normalize_embeddings=True).tobytes()


def test_in_ollamas_place(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client finds the server by OLLAMA_HOST, as `bge-micro serve --port 11434` by itself."""
    monkeypatch.setenv("OLLAMA_HOST", start().url)
    with ollama.Client() as client:
        assert len(client.embed("TaylorAI/bge-micro-v2", "a").embeddings[0]) == 384
