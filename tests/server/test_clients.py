"""What well-known clients send: Hugging Face's, and others' fields, spellings and paths."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient

from bge_micro import SentenceTransformer

from .servers import Running, behind_prefix, running

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/clients.md"
needs_page = pytest.mark.skipif(not PAGE.is_file(), reason="needs a checkout: reads its pages")
ROUTES = {
    "/v1/embeddings": "input",
    "/embeddings": "input",
    "/embed": "inputs",
    "/": "inputs",
    "/invocations": "inputs",
    "/api/embed": "input",
}


def vectors(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    if isinstance(body, dict):
        body = body.get("embeddings") or [row["embedding"] for row in body["data"]]
    return np.array(body, np.float32)


def ask(client: httpx.Client, path: str, text: Any = "hello", **fields: Any) -> httpx.Response:
    name = {"model": "bge-micro-v2"} if path.startswith("/api/") else {}
    return client.post(path, json={ROUTES[path]: text, **name, **fields})


def test_hugging_faces_client(
    server: Running, model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # as tests set it
    client = InferenceClient(server.url)
    unit = model.encode(["one", "two words"], normalize_embeddings=True)
    assert client.feature_extraction("one").tobytes() == unit[:1].tobytes()
    assert client.feature_extraction(["one", "two words"]).tobytes() == unit.tobytes()
    raw = client.feature_extraction("one", normalize=False)
    assert raw.tobytes() == model.encode(["one"]).tobytes()
    for direction in ("Right", "right"):
        long = client.feature_extraction(
            "word " * 600, truncate=True, truncation_direction=direction, encoding_format="float"
        )
        assert long.shape == (1, 384)
    short = client.feature_extraction("one", dimensions=32)
    assert short.tobytes() == (
        model.encode(["one"], normalize_embeddings=True, truncate_dim=32).tobytes()
    )
    scores = client.sentence_similarity("a cat", ["a kitten", "a bond"])
    assert scores[0] > scores[1]


@pytest.mark.parametrize("path", ROUTES)
def test_fields_that_change_no_vector_are_accepted(
    client: httpx.Client, model: SentenceTransformer, path: str
) -> None:
    expected = model.encode(["hello"], normalize_embeddings=True).tobytes()
    for fields in (
        {"user": "me", "keep_alive": "5m", "use_cache": True, "request_id": "1"},
        {"input_type": "query", "task": "retrieval.passage", "task_type": 1},
        {"encoding_format": "float", "embedding_type": "float", "normalized": True},
        {"late_chunking": False, "stream": False, "truncate": "END"},
        {"colour": None, "dimensions": None, "prompt_name": None, "truncate": None},
    ):
        assert vectors(ask(client, path, **fields)).tobytes() == expected


@pytest.mark.parametrize("path", ROUTES)
def test_fields_that_would_change_something_are_refused(client: httpx.Client, path: str) -> None:
    for field, value in (
        ("colour", "red"),
        ("normalized", False),
        ("late_chunking", True),
        ("stream", 0),
        ("embedding_type", "ubinary"),
        ("truncate", "START"),
        ("model", "BAAI/bge-m3"),
    ):
        answer = ask(client, path, **{field: value})
        assert answer.status_code in (400, 404, 422)
        assert field in answer.text
    if path != "/v1/embeddings" and path != "/embeddings":
        assert "'float'" in ask(client, path, encoding_format="base64").text


def test_a_role_is_refused_by_a_model_with_prompts() -> None:
    model = SentenceTransformer(prompts={"query": "find: "})
    with running(model) as server, server.client() as client:
        for path in ROUTES:
            answer = ask(client, path, input_type="query")
            assert answer.status_code in (400, 422)
            assert "send prompt_name" in answer.text
            expected = model.encode(["hello"], prompt_name="query", normalize_embeddings=True)
            got = vectors(ask(client, path, prompt_name="query"))
            assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("path", [path for path in ROUTES if not path.startswith("/api/")])
def test_ids_of_another_tokenizer_are_refused(
    client: httpx.Client, model: SentenceTransformer, path: str
) -> None:
    """All of these ids exist here as well, and stand for other words."""
    of_tiktoken = ([9906, 1917], [101, 9906], [9906, 102], [101], [102, 101])
    for ids in of_tiktoken:
        for rows in (ids, [[101, 7592, 102], ids]):
            answer = ask(client, path, rows)
            assert answer.status_code in (400, 422)
            assert "[CLS] (101) and [SEP] (102)" in answer.text
            assert "check_embedding_ctx_length=False" in answer.text
    assert "check_embedding_ctx_length=False" in ask(client, path, [9906, 98765]).text
    own = model.tokenizer.encode("hello").ids
    expected = model.encode(["hello"], normalize_embeddings=True)
    assert vectors(ask(client, path, own)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("path", ROUTES)
def test_a_length_that_there_is_not_is_repeated(client: httpx.Client, path: str) -> None:
    for length in (1536, 0, -1, 1.5):
        told = ask(client, path, dimensions=length).text
        assert f"dimensions is {length}, expected a whole number from 1 to 384" in told


def test_paths_with_spare_slashes(server: Running, client: httpx.Client) -> None:
    for path in ("/v1//embeddings", "/v1/embeddings/", "//v1/embeddings", "/v1/embeddings//"):
        answer = client.post(server.url + path, json={"input": "a"})
        assert answer.status_code == 200
    for path in ("//embed", "/embed/"):
        assert client.post(server.url + path, json={"inputs": "a"}).status_code == 200
    for path in ("//info", "/api/tags/", "/v1//models", "/v1/models/", "/v1/models//other/name"):
        assert client.get(server.url + path).status_code == 200
    for path in ("//metrics", "/health/", "/metrics/", "//openapi.json"):  # one spelling only
        assert client.get(server.url + path).status_code == 404
    assert client.get("/v1/embeddings/").headers["Allow"] == "POST"
    assert client.post("/v1//nothing", json={}).json()["error"]["code"] is None


def test_the_description_behind_a_prefix(server: Running) -> None:
    """Its servers are relative, so its paths lead back to the server from wherever it is read."""
    with behind_prefix(server, "/models/a") as url, httpx.Client(trust_env=False) as client:
        where = f"{url}/openapi.json"
        description = client.get(where).json()
        (base,) = [urljoin(where, entry["url"]) for entry in description["servers"]]
        for joined in (base, base.removesuffix("/")):  # both are in use
            assert client.get(f"{joined}/info").json()["dimensions"] == 384
            assert client.post(f"{joined}/embed", json={"inputs": "a"}).status_code == 200
        assert client.get(f"{url}/../info").status_code == 404


def test_routes_of_tei_for_other_models(client: httpx.Client) -> None:
    for path in ("/rerank", "/predict", "/embed_sparse"):
        answer = client.post(path, json={"query": "a", "texts": ["b"]})
        assert answer.status_code == 424
        assert answer.json()["error"].startswith("model is not a")
        assert answer.json()["error_type"] == "Backend"
    assert client.get("/ping").json() == {"status": "ok"}


@needs_page
def test_the_documented_routes(client: httpx.Client) -> None:
    """Each route of the tables exists, or does not, as its row says."""
    rows = re.findall(r"^\| (`.*?`) \| (yes|no|different)", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(rows) > 20
    for cell, verdict in rows:
        for method, path in re.findall(r"`([A-Z]+) (/[^`]*)`", cell):
            answer = client.request(method, path, content=b"{}" if method == "POST" else None)
            exists = answer.status_code not in (404, 405)
            if verdict == "yes":
                assert exists, path
            elif verdict == "no":
                assert not exists, path
    ours = client.get("/openapi.json").json()["paths"]
    documented = set(re.findall(r"`[A-Z]+ (/[^`]*)`", PAGE.read_text("utf-8")))
    assert {path for path in ours if not path.startswith("/v1/models")} - documented == {
        "/openapi.json"
    }


@needs_page
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing: a Debian package")
def test_the_documented_calls_of_curl(server: Running) -> None:
    calls = re.findall(r"^curl .*$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(calls) == 4
    for call in calls:
        words = shlex.split(call.replace("http://127.0.0.1:8080", server.url))
        done = subprocess.run(
            [*words, "--silent", "--show-error", "--fail", "--noproxy", "*"],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, (call, done.stderr, done.stdout)
        assert json.loads(done.stdout)
