"""Reranking: TEI's form, and Cohere's and Jina's."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from bge_micro import CrossEncoder, SentenceTransformer
from bge_micro.server.access import Admission
from bge_micro.server.limits import Limits
from bge_micro.server.reranking import ServedReranker
from family_models import KINDS, family_weights, head_weights, write_reranker_folder

from .servers import PATIENCE, Running, running

if TYPE_CHECKING:
    from .servers import Start

QUERY = "w1 w2 w3"
TEXTS = [" ".join(f"w{n * m % 50}" for m in range(1, 3 + n % 9)) for n in range(60)]
COHERE = ("/v1/rerank", "/v2/rerank", "/rerank")


@pytest.fixture(scope="module", params=["bert", "roberta"])
def reranker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("reranker")
    kind = KINDS[request.param]
    write_reranker_folder(folder, kind, family_weights(kind), head_weights(kind, 1))
    return CrossEncoder(folder)


@pytest.fixture(scope="module")
def reranking(model: SentenceTransformer, reranker: CrossEncoder) -> Iterator[Running]:
    with running(model, reranker=ServedReranker(reranker, ["judge"])) as server:
        yield server


@pytest.fixture(scope="module")
def asked(reranking: Running) -> Iterator[httpx.Client]:
    with reranking.client() as client:
        yield client


def expected(reranker: CrossEncoder, activation: Any, texts: list[str]) -> Any:
    pairs = [(QUERY, text) for text in texts]
    scores = reranker.predict(pairs, activation_fn=activation)
    order = np.argsort(-reranker.predict(pairs, activation_fn="identity"), kind="stable")
    return [(int(row), scores[row]) for row in order]


@pytest.mark.parametrize(("raw", "activation"), [(True, "identity"), (False, "sigmoid")])
def test_in_the_form_of_tei(
    asked: httpx.Client, reranker: CrossEncoder, raw: bool, activation: str
) -> None:
    body = {"query": QUERY, "texts": TEXTS, "raw_scores": raw}
    plain = asked.post("/rerank", json=body).json()
    wanted = expected(reranker, activation, TEXTS)
    assert [(each["index"], np.float32(each["score"])) for each in plain] == wanted
    assert all(set(each) == {"index", "score"} for each in plain)
    with_text = asked.post("/rerank", json={**body, "return_text": True}).json()
    assert with_text == [{**each, "text": TEXTS[each["index"]]} for each in plain]


@pytest.mark.parametrize("path", COHERE)
def test_in_the_form_of_cohere_and_jina(
    asked: httpx.Client, reranker: CrossEncoder, path: str
) -> None:
    documents = [text if row % 2 else {"text": text} for row, text in enumerate(TEXTS)]
    body = {"model": "judge", "query": QUERY, "documents": documents}
    answer = asked.post(path, json=body).json()
    found = [(each["index"], np.float32(each["relevance_score"])) for each in answer["results"]]
    assert found == expected(reranker, "sigmoid", TEXTS)
    assert answer["model"] == "judge"
    used = sum(reranker.count_tokens([(QUERY, text) for text in TEXTS]).used)
    assert answer["usage"] == {"prompt_tokens": used, "total_tokens": used}
    best = asked.post(path, json={**body, "top_n": 3, "return_documents": True}).json()["results"]
    assert best == [
        {**each, "document": {"text": TEXTS[each["index"]]}} for each in answer["results"][:3]
    ]


def test_many_requests_together_change_no_bit(asked: httpx.Client, reranker: CrossEncoder) -> None:
    """Of pairs and of texts, small requests and large ones."""
    alone = asked.post("/embed", json={"inputs": TEXTS}).json()

    def ask(number: int) -> None:
        texts = TEXTS[: 1 + number * 7 % 60]
        if number % 3:
            answer = asked.post(
                "/rerank", json={"query": QUERY, "texts": texts, "raw_scores": True}
            )
            found = [(each["index"], np.float32(each["score"])) for each in answer.json()]
            assert found == expected(reranker, "identity", texts)
        else:
            assert asked.post("/embed", json={"inputs": texts}).json() == alone[: len(texts)]

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(ask, range(36)))


BAD: dict[str, dict[str, Any]] = {
    "no query": {"texts": ["w1"]},
    "a query that is a list": {"query": ["w1"], "texts": ["w1"]},
    "no texts": {"query": "w1", "texts": []},
    "a text that is a number": {"query": "w1", "texts": ["w1", 2]},
    "token ids": {"query": "w1", "texts": [[1, 2]]},
    "an unknown field": {"query": "w1", "texts": ["w1"], "rank": 3},
    "another model": {"query": "w1", "texts": ["w1"], "model": "bge-micro-v2"},
    "a pair that is too long": {"query": "w1", "texts": ["w1", "w2 " * 900]},
}


@pytest.mark.parametrize("kind", BAD)
def test_errors_in_the_form_of_each_interface(asked: httpx.Client, kind: str) -> None:
    body = BAD[kind]
    of_model = kind == "another model"
    answer = asked.post("/rerank", json=body)
    assert answer.status_code == (404 if of_model else 422)
    assert set(answer.json()) == {"error", "error_type"}
    documents = {("documents" if name == "texts" else name): v for name, v in body.items()}
    for path in COHERE[:2]:
        answer = asked.post(path, json=documents)
        assert answer.status_code == (404 if of_model else 400)
        assert set(answer.json()) == {"message"}
    if "long" in kind:
        assert "row 1 has more than" in answer.json()["message"]
        cut = asked.post("/rerank", json={**body, "truncate": True})
        assert len(cut.json()) == 2


@pytest.mark.parametrize("document", [3, None, {}, {"text": 5}, {"title": "w1"}, ["w1"]])
def test_documents_that_are_none(asked: httpx.Client, document: Any) -> None:
    answer = asked.post("/v1/rerank", json={"query": "w1", "documents": ["w1", document]})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("documents[1]: expected a string")


def test_limits_key_and_queue(model: SentenceTransformer, reranker: CrossEncoder) -> None:
    limits = Limits(texts=4, queue_texts=8)
    served = ServedReranker(reranker, ["judge"])
    with running(model, limits, Admission(api_key="k"), reranker=served) as server:
        body = {"query": "w1", "texts": ["w1"] * 4}
        assert httpx.post(server.url + "/rerank", json=body).status_code == 401
        with server.client(headers={"Authorization": "Bearer k"}) as client:
            assert len(client.post("/rerank", json=body).json()) == 4
            many = client.post("/rerank", json={**body, "texts": ["w1"] * 5})
            assert many.status_code == 422

            async def fill() -> int:
                with server.service.engine.room_for(8):
                    answer = await asyncio.to_thread(client.post, "/rerank", json=body)
                return answer.status_code

            assert asyncio.run(fill()) == 429
            text = client.get("/metrics").text
            assert 'bge_micro_requests_total{route="/rerank",status="200"} 1.0' in text
            assert "bge_micro_texts_total 4.0" in text
            assert client.get("/info").json()["reranker"]["model_id"] == "judge"


def test_without_a_reranker(client: httpx.Client) -> None:
    assert client.get("/info").json()["reranker"] is None
    for path in ("/v1/rerank", "/v2/rerank"):
        answer = client.post(path, json={"query": "w1", "documents": ["w1"]})
        assert answer.status_code == 424
        assert "--reranker" in answer.json()["message"]


def test_the_option(start: Start, tmp_path: Path) -> None:
    kind = KINDS["bert"]
    write_reranker_folder(tmp_path, kind, family_weights(kind), head_weights(kind, 1))
    server = start("--reranker", str(tmp_path))
    body = {"model": tmp_path.name, "query": QUERY, "documents": TEXTS}
    answer = httpx.post(server.url + "v1/rerank", json=body, timeout=PATIENCE).json()
    found = [(each["index"], np.float32(each["relevance_score"])) for each in answer["results"]]
    assert found == expected(CrossEncoder(tmp_path), "sigmoid", TEXTS)


def test_a_classifier_is_refused(tmp_path: Path) -> None:
    kind = KINDS["bert"]
    write_reranker_folder(tmp_path, kind, family_weights(kind), head_weights(kind, 3))
    command = [sys.executable, "-m", "bge_micro", "serve", "--reranker", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert b"has 3 labels, expected 1" in done.stderr


def test_one_string_in_place_of_the_texts_is_refused(asked: httpx.Client) -> None:
    for path, name in (("/rerank", "texts"), *((path, "documents") for path in COHERE)):
        answer = asked.post(path, json={"query": QUERY, name: "w1"})
        assert 400 <= answer.status_code < 500
        assert "a list of strings" in answer.text
