"""`bge-micro rerank` and `search --rerank`: the order is that of `CrossEncoder.rank`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bge_micro import CrossEncoder
from family_models import KINDS, family_weights, head_weights, write_reranker_folder

from .conftest import Run

QUERIES = ["w1 w2", "w7"]
TEXTS = [" ".join(f"w{n * m % 50}" for m in range(1, 3 + n % 9)) for n in range(30)]


def write_reranker(folder: Path, labels: int = 1) -> CrossEncoder:
    kind = KINDS["bert"]
    write_reranker_folder(folder, kind, family_weights(kind), head_weights(kind, labels))
    return CrossEncoder(folder)


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    (tmp_path / "in.txt").write_text("\n\n".join(TEXTS) + "\n")
    return "in.txt"


def shown(out: str) -> list[list[tuple[int, float, str]]]:
    return [
        [(hit["row"], hit["score"], hit["text"]) for hit in json.loads(line)["hits"]]
        for line in out.splitlines()
    ]


def test_order_of_all_texts(run: Run, tmp_path: Path, corpus: str) -> None:
    model = write_reranker(tmp_path)
    result = run("rerank", *QUERIES, "-i", corpus, "--model", str(tmp_path), "-k", "7", "--json")
    assert (result.code, result.err) == (0, "")
    for query, hits in zip(QUERIES, shown(result.out), strict=True):
        ranked = model.rank(query, TEXTS, top_k=7, return_documents=True)
        wanted = [(2 * hit["corpus_id"], hit["score"], hit["text"]) for hit in ranked]
        assert hits == [pytest.approx(each) for each in wanted]


@pytest.mark.parametrize("saved", ["in.txt", "index"])
def test_order_of_what_search_finds(run: Run, tmp_path: Path, corpus: str, saved: str) -> None:
    model = write_reranker(tmp_path)
    if saved == "index":
        assert run("index", "-i", corpus, "-o", saved).code == 0
    found = run("search", *QUERIES, "-i", saved, "-k", "12", "--json")
    options = ("--rerank", str(tmp_path), "--candidates", "12", "-k", "5")
    result = run("search", *QUERIES, "-i", saved, *options, "--json")
    assert (result.code, result.err) == (0, "")
    for query, before, hits in zip(QUERIES, shown(found.out), shown(result.out), strict=True):
        ranked = model.rank(query, [text for *_, text in before], top_k=5, return_documents=True)
        wanted = [(before[hit["corpus_id"]][0], hit["score"], hit["text"]) for hit in ranked]
        assert hits == [pytest.approx(each) for each in wanted]


def test_pairs_that_are_too_long(run: Run, tmp_path: Path) -> None:
    write_reranker(tmp_path)
    (tmp_path / "in.txt").write_text("w1 " * 900 + "\nw2\n")
    argv = ("rerank", "w1", "-i", "in.txt", "--model", str(tmp_path))
    warned = run(*argv)
    assert (warned.code, len(warned.out.splitlines())) == (0, 2)
    assert warned.err.startswith("bge-micro: warning: 1 texts have more than")
    assert "UserWarning" not in warned.err
    refused = run(*argv, "--truncation", "error")
    assert (refused.code, refused.out) == (1, "")
    assert run(*argv, "--truncation", "silent").err == ""


def test_what_makes_no_sense(run: Run, tmp_path: Path, corpus: str) -> None:
    assert run("embed", "-i", corpus, "-o", "v.npz").code == 0
    write_reranker(tmp_path, labels=3)
    for code, message, *argv in (
        (2, "needs a cross-encoder", "rerank", "q", "-i", corpus),
        (2, "give -i FILE", "rerank", "q", "--model", str(tmp_path)),
        (2, "no query", "rerank", "-i", corpus, "--model", str(tmp_path)),
        (1, "has 3 labels", "rerank", "q", "-i", corpus, "--model", str(tmp_path)),
        (2, "give --rerank", "search", "q", "-i", corpus, "--candidates", "5"),
        (2, "holds vectors only", "search", "q", "-i", "v.npz", "--rerank", str(tmp_path)),
    ):
        result = run(*argv)
        assert (result.code, result.out) == (code, "")
        assert message in result.err
