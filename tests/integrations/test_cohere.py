"""Cohere's own clients, unchanged, against `bge-micro serve --reranker`'s application."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest

from bge_micro import CrossEncoder, SentenceTransformer
from family_models import KINDS, family_weights, head_weights, write_reranker_folder

pytest.importorskip("cohere", reason="cohere is not installed")

import cohere

from bge_micro.server.reranking import ServedReranker
from server.servers import running

QUERY = "w1 w2 w3"
TEXTS = [" ".join(f"w{n * m % 50}" for m in range(1, 3 + n % 9)) for n in range(60)]


@pytest.mark.parametrize("kind", [cohere.Client, cohere.ClientV2])
def test_rerank(kind: type, tmp_path: Path) -> None:
    family = KINDS["bert"]
    write_reranker_folder(tmp_path, family, family_weights(family), head_weights(family, 1))
    reranker = CrossEncoder(tmp_path)
    scores = reranker.predict([(QUERY, text) for text in TEXTS], activation_fn="sigmoid")
    best = np.argsort(-scores, kind="stable")[:5]
    with (
        running(SentenceTransformer(), reranker=ServedReranker(reranker, ["judge"])) as server,
        httpx.Client(trust_env=False) as http,
    ):
        client = kind("key", base_url=server.url.rstrip("/"), httpx_client=http)
        answer = client.rerank(model="judge", query=QUERY, documents=TEXTS, top_n=5)
    assert [each.index for each in answer.results] == best.tolist()
    found = np.array([each.relevance_score for each in answer.results], np.float32)
    assert found.tobytes() == scores[best].tobytes()
