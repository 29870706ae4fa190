"""What sentence_transformers.util has, against plain NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import SentenceTransformer
from bge_micro.search import (
    community_detection,
    paraphrase_mining,
    paraphrase_mining_embeddings,
    semantic,
    semantic_search,
)

Floats = NDArray[np.float32]


def vectors(rows: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, 24), dtype=np.float32)


def cosines(a: Floats, b: Floats) -> NDArray[np.float64]:
    exact = [vectors.astype(np.float64) for vectors in (a, b)]
    left, right = (rows / np.linalg.norm(rows, axis=1)[:, None] for rows in exact)
    return left @ right.T


def test_semantic_search() -> None:
    corpus, queries = vectors(200), vectors(7, seed=1)
    hits = semantic_search(queries, corpus, top_k=5)
    expected = cosines(queries, corpus)
    assert [[hit["corpus_id"] for hit in row] for row in hits] == np.argsort(-expected)[
        :, :5
    ].tolist()
    assert {type(hit["score"]) for row in hits for hit in row} == {float}
    assert hits[0][0]["score"] == pytest.approx(expected[0].max(), abs=1e-6)
    assert semantic_search(queries[0], corpus, top_k=5) == hits[:1]


def dot_score(a: Floats, b: Floats) -> Floats:
    """Replace sentence-transformers' function, of which only the name matters."""
    raise AssertionError


def test_score_functions() -> None:
    corpus = vectors(50) * np.arange(1, 51, dtype=np.float32)[:, None]
    expected = np.argsort(-(corpus @ corpus[0]))[:10].tolist()
    for function in (dot_score, "dot", "dot_score"):
        (hits,) = semantic_search(corpus[0], corpus, score_function=function)
        assert [hit["corpus_id"] for hit in hits] == expected
    with pytest.raises(ValueError, match="score_function is 'sum', expected one of cosine"):
        semantic_search(corpus[0], corpus, score_function=sum)


@pytest.mark.parametrize("chunk", [7, 1024])
def test_paraphrase_mining(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(semantic, "_CHUNK_ROWS", chunk)
    rows = vectors(40)
    pairs = paraphrase_mining_embeddings(rows, top_k=40)
    expected = cosines(rows, rows)
    assert sorted((i, j) for _, i, j in pairs) == list(itertools.combinations(range(40), 2))
    scores = [score for score, _, _ in pairs]
    assert scores == sorted(scores, reverse=True)
    for score, i, j in pairs:
        assert score == pytest.approx(expected[i, j], abs=1e-6)
    assert paraphrase_mining_embeddings(rows, top_k=40, max_pairs=9) == pairs[:9]
    assert paraphrase_mining_embeddings(rows[:1]) == []
    assert paraphrase_mining_embeddings(rows[:0]) == []


def test_paraphrase_mining_of_equals() -> None:
    rows = np.repeat(vectors(1), 4, axis=0)
    found = [(i, j) for _, i, j in paraphrase_mining_embeddings(rows)]
    assert found == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_paraphrase_mining_of_texts() -> None:
    model = SentenceTransformer()
    texts = ["A cat sat down.", "Prices rose again.", "The cat sat down.", "Again prices rose."]
    pairs = paraphrase_mining(model, texts, max_pairs=2)
    assert sorted((i, j) for _, i, j in pairs) == [(0, 2), (1, 3)]


@pytest.mark.parametrize("batch_size", [5, 1024])
def test_communities(batch_size: int) -> None:
    centres = vectors(3)
    sizes = [30, 12, 4]
    rows = np.concatenate(
        [
            centre + vectors(size, seed=9) * np.float32(0.05)
            for centre, size in zip(centres, sizes, strict=True)
        ]
    )
    order = np.random.default_rng(1).permutation(len(rows))
    groups = community_detection(
        rows[order], threshold=0.9, min_community_size=5, batch_size=batch_size
    )
    expected = [set(range(30)), set(range(30, 42))]
    assert [{int(order[row]) for row in group} for group in groups] == expected
    scores = cosines(rows[order], rows[order])
    for group in groups:
        nearness = scores[group[0]][group]
        assert (nearness >= 0.9 - 1e-6).all()
        assert (np.diff(nearness) <= 1e-6).all()


def test_no_communities() -> None:
    assert community_detection(vectors(20), threshold=0.99) == []
    assert community_detection(vectors(20)[:0]) == []
    assert community_detection(np.ones((3, 4), np.float32)) == []
    assert community_detection(np.ones((3, 4), np.float32), min_community_size=3) == [[0, 1, 2]]


def test_the_central_row_of_a_community_is_its_first() -> None:
    # On a line: each row is alike to its neighbours only, and the middle one to most.
    angles = np.float32([0, 0.1, 0.2, 0.3, 0.4, 1.5, 1.6])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    groups = community_detection(rows, threshold=float(np.cos(0.21)), min_community_size=2)
    assert [groups[0][0], *sorted(groups[0][1:])] == [2, 0, 1, 3, 4]
    assert groups[1:] == [[5, 6]]
