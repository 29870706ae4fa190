"""The interface of Text Embeddings Inference, and the server's own routes."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from bge_micro import SentenceTransformer, __version__
from bge_micro.server.site import PAGE_FILES


def post(client: httpx.Client, path: str, **body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_embed(client: httpx.Client, model: SentenceTransformer) -> None:
    texts = ["one", "two words"]
    unit = np.array(post(client, "/embed", inputs=texts), np.float32)
    assert unit.tobytes() == model.encode(texts, normalize_embeddings=True).tobytes()
    one = np.array(post(client, "/embed", inputs="one", normalize=False), np.float32)
    assert one.tobytes() == model.encode(["one"]).tobytes()
    cut = post(client, "/embed", inputs=texts, dimensions=7, truncation_direction="Right")
    expected = model.encode(texts, normalize_embeddings=True, truncate_dim=7)
    assert np.array(cut, np.float32).tobytes() == expected.tobytes()
    ids = post(client, "/embed", inputs=[[101, 2028, 102]])
    assert np.array(ids, np.float32).tobytes() == unit[:1].tobytes()
    halves = post(client, "/embed", inputs=["one"], dimensions=None, prompt_name=None)
    assert np.array(halves, np.float32).tobytes() == unit[:1].tobytes()


def test_truncate(client: httpx.Client, model: SentenceTransformer) -> None:
    long = "word " * 600
    answer = client.post("/embed", json={"inputs": ["a", long]})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("row 1 has more than 512 tokens")
    answer = client.post("/embed", json={"inputs": ["a", long], "truncate": True})
    assert answer.headers["X-Truncated-Texts"] == "1"
    expected = model.encode(["a", long], normalize_embeddings=True)
    assert np.array(answer.json(), np.float32).tobytes() == expected.tobytes()


def test_lone_surrogates_are_replaced(client: httpx.Client, model: SentenceTransformer) -> None:
    body = rb'{"inputs": "cut \ud83d off"}'
    answer = client.post("/embed", content=body, headers={"Content-Type": "application/json"})
    expected = model.encode(["cut \ufffd off"], normalize_embeddings=True)
    assert np.array(answer.json(), np.float32).tobytes() == expected.tobytes()


def test_similarity(client: httpx.Client, model: SentenceTransformer) -> None:
    inputs = {"source_sentence": "a cat", "sentences": ["a kitten", "a bond", "a cat"]}
    scores = post(client, "/similarity", inputs=inputs)
    vectors = model.encode(["a cat", *inputs["sentences"]])
    np.testing.assert_allclose(scores, model.similarity(vectors[0], vectors[1:])[0], atol=1e-6)
    assert scores[0] > scores[1]
    assert max(scores) <= 1
    long = {"source_sentence": "a", "sentences": ["word " * 600]}
    assert client.post("/similarity", json={"inputs": long}).status_code == 422
    assert len(post(client, "/similarity", inputs=long, parameters={"truncate": True})) == 1


def test_tokenize(client: httpx.Client, model: SentenceTransformer) -> None:
    text = "Héllo 🙂 wörldly"
    (tokens,) = post(client, "/tokenize", inputs=text)
    assert [token["id"] for token in tokens] == model.tokenizer.encode(text).ids
    first, *content, last = tokens
    assert (first["text"], first["special"], first["start"]) == ("[CLS]", True, None)
    assert last["text"] == "[SEP]"
    for token in content:
        assert token["text"] == text[token["start"] : token["stop"]]
    (bare,) = post(client, "/tokenize", inputs=[text], add_special_tokens=False)
    assert bare == content
    assert client.post("/tokenize", json={"inputs": "a" * 300_000}).status_code == 422
    assert client.post("/tokenize", json={"inputs": [[1]]}).status_code == 422


def test_info(client: httpx.Client, model: SentenceTransformer) -> None:
    info = client.get("/info").json()
    assert info["model_id"] == "bge-micro-v2"
    assert info["space_id"] == model.space_id_of(normalize_embeddings=True)
    assert info["max_input_length"] == 512
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert info["version"] == __version__


def test_health_and_metrics(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}

    def counters() -> dict[str, float]:
        lines = client.get("/metrics").text.splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
        }

    before = counters()
    post(client, "/embed", inputs=["one", "two words", "word " * 600], truncate=True)
    client.get("/no/such/place")
    after = counters()
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["bge_micro_texts_total"] == 3
    assert grown["bge_micro_tokens_total"] == 3 + 4 + 512
    assert grown["bge_micro_truncated_texts_total"] == 1
    assert grown['bge_micro_requests_total{route="/embed",status="200"}'] == 1
    assert grown['bge_micro_request_seconds_count{route="/embed"}'] == 1
    assert grown['bge_micro_requests_total{route="other",status="404"}'] == 1
    assert grown["bge_micro_batch_texts_sum"] == 3
    assert after["bge_micro_queue_texts"] == 0
    assert 'space_id="weights=' in client.get("/metrics").text


def test_description(client: httpx.Client) -> None:
    description = client.get("/openapi.json").json()
    assert description["info"]["version"] == __version__
    assert description["components"]["schemas"]["ModelName"]["enum"] == [
        None,
        "bge-micro-v2",
        "other/name",
    ]
    for path in description["paths"]:
        assert client.request("PATCH", path.replace("{name}", "x")).status_code == 405


def test_prompts() -> None:
    from .servers import running

    model = SentenceTransformer(prompts={"query": "find: "}, default_prompt_name=None)
    with running(model) as server, server.client() as client:
        got = post(client, "/embed", inputs="bread", prompt_name="query")
        (tokens,) = post(client, "/tokenize", inputs="bread", prompt_name="query")
    expected = model.encode(["bread"], prompt_name="query", normalize_embeddings=True)
    assert np.array(got, np.float32).tobytes() == expected.tobytes()
    assert [token["text"] for token in tokens[1:-1]] == ["find", ":", "bread"]
    assert expected.tobytes() != model.encode(["bread"], normalize_embeddings=True).tobytes()


@pytest.mark.parametrize("path", PAGE_FILES)
def test_page_files(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in answer.text
