"""OpenAI's official client, unchanged, against a real server."""

from __future__ import annotations

import asyncio
import base64

import numpy as np
import openai
import pytest

from bge_micro import SentenceTransformer
from bge_micro.server.access import Admission

from .servers import PATIENCE, Running, running

TEXTS = ["The ferry leaves at noon.", "", "圖書館", "a 🙂 and\nmore " * 20]


@pytest.fixture
def client(server: Running) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{server.url}/v1", api_key="unused", max_retries=0, timeout=PATIENCE
    )


def rows(answer: openai.types.CreateEmbeddingResponse) -> np.ndarray:
    return np.array([row.embedding for row in answer.data], np.float32)


def test_texts_are_the_librarys_bits(client: openai.OpenAI, model: SentenceTransformer) -> None:
    expected = model.encode(TEXTS, normalize_embeddings=True)
    tokens = int(model.count_tokens(TEXTS).used.sum())
    for form in (openai.omit, "float", "base64"):
        answer = client.embeddings.create(
            model="bge-micro-v2", input=TEXTS, encoding_format=form, user="me"
        )
        if form == "base64":
            got = np.stack(
                [np.frombuffer(base64.b64decode(row.embedding), "<f4") for row in answer.data]
            )
        else:
            got = rows(answer)
        assert got.tobytes() == expected.tobytes()
        assert [row.index for row in answer.data] == [0, 1, 2, 3]
        assert answer.model == "bge-micro-v2"
        assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (tokens, tokens)


def test_one_text_and_dimensions(client: openai.OpenAI, model: SentenceTransformer) -> None:
    answer = client.embeddings.create(model="other/name", input="hello", dimensions=32)
    expected = model.encode(["hello"], normalize_embeddings=True, truncate_dim=32)
    assert rows(answer).tobytes() == expected.tobytes()


def test_token_ids(client: openai.OpenAI, model: SentenceTransformer) -> None:
    ids = [model.tokenizer.encode(text).ids for text in TEXTS]
    expected = model.encode(TEXTS, normalize_embeddings=True)
    many = client.embeddings.create(model="bge-micro-v2", input=ids)
    one = client.embeddings.create(model="bge-micro-v2", input=ids[2])
    assert rows(many).tobytes() == expected.tobytes()
    assert rows(one).tobytes() == expected[2:3].tobytes()


def test_many_texts(client: openai.OpenAI, model: SentenceTransformer) -> None:
    texts = [f"text number {number}" for number in range(2048)]
    got = rows(client.embeddings.create(model="bge-micro-v2", input=texts))
    assert got.tobytes() == model.encode(texts, normalize_embeddings=True).tobytes()


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["bge-micro-v2", "other/name"]
    assert client.models.retrieve("other/name").id == "other/name"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt")


def test_errors_are_the_clients_own(client: openai.OpenAI) -> None:
    create = client.embeddings.create
    with pytest.raises(openai.NotFoundError, match="has the model 'bge-micro-v2'") as missing:
        create(model="text-embedding-3-small", input="a")
    assert missing.value.code == "model_not_found"
    for options, param in (
        ({"input": []}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": [[101, 2, 102], [30522]]}, None),
        ({"input": [[101, 102], []]}, None),
        ({"input": "a", "dimensions": 385}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "extra_body": {"prompt_name": "colour"}}, "prompt_name"),
        ({"input": "a", "extra_body": {"colour": "red"}}, None),
    ):
        with pytest.raises(openai.BadRequestError) as bad:
            create(model="bge-micro-v2", **options)
        assert bad.value.type == "invalid_request_error"
        assert bad.value.param == param


def test_long_texts_are_refused_or_cut_and_told(
    client: openai.OpenAI, model: SentenceTransformer
) -> None:
    texts = ["short", "long " * 1000]
    with pytest.raises(openai.BadRequestError, match="row 1 has more than 512 tokens"):
        client.embeddings.create(model="bge-micro-v2", input=texts)
    with running(model, auto_truncate=True) as server:
        cutting = openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused")
        raw = cutting.embeddings.with_raw_response.create(model="bge-micro-v2", input=texts)
    assert raw.headers["X-Truncated-Texts"] == "1"
    expected = model.encode(texts, normalize_embeddings=True)
    assert rows(raw.parse()).tobytes() == expected.tobytes()


def test_api_key(model: SentenceTransformer) -> None:
    with running(model, admission=Admission("s3cret")) as server:
        url = f"{server.url}/v1"
        right = openai.OpenAI(base_url=url, api_key="s3cret")
        assert len(right.embeddings.create(model="bge-micro-v2", input="a").data) == 1
        for key in ("s3cre", "s3cret2"):
            wrong = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
            with pytest.raises(openai.AuthenticationError):
                wrong.embeddings.create(model="bge-micro-v2", input="a")
        with server.client() as client:
            for path in ("/info", "/metrics", "/v1/models"):
                answer = client.get(path)
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
            for path in ("/", "/page.js", "/health", "/openapi.json"):
                assert client.get(path).status_code == 200
            raw = client.get("/info", headers=[(b"Authorization", "Bearer é".encode("latin-1"))])
            assert raw.status_code == 401


def test_many_clients_at_once(server: Running, model: SentenceTransformer) -> None:
    texts = [f"question {number}?" + " and more" * (number % 40) for number in range(300)]

    async def ask_all() -> list[np.ndarray]:
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="unused", timeout=PATIENCE
        ) as client:
            turn = asyncio.Semaphore(64)

            async def ask(text: str) -> np.ndarray:
                async with turn:
                    return rows(await client.embeddings.create(model="bge-micro-v2", input=text))

            return await asyncio.gather(*map(ask, texts))

    got = np.concatenate(asyncio.run(ask_all()))
    assert got.tobytes() == model.encode(texts, normalize_embeddings=True).tobytes()
