"""`bge_micro.search.top_k`: what it takes, what it gives, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from bge_micro.search import top_k

TEXTS = ["a cat", "a kitten", "a bond", "the stock market", "a small dog"]


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return SentenceTransformer()


def test_it_finds_what_similarity_says(model: SentenceTransformer) -> None:
    corpus, queries = model.encode(TEXTS), model.encode(["a feline", "money"])
    found = top_k(queries, corpus, 3)
    expected = model.similarity(queries, corpus)
    assert found.indices.tolist() == np.argsort(-expected, axis=1)[:, :3].tolist()
    np.testing.assert_allclose(
        found.scores, np.take_along_axis(expected, found.indices, axis=1), atol=1e-6
    )
    assert (found.indices.dtype, found.scores.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_quantized_vectors(model: SentenceTransformer, precision: str) -> None:
    corpus = model.encode(TEXTS, precision=precision)
    found = top_k(corpus[:2], corpus, precision=precision)
    assert found.indices[:, 0].tolist() == [0, 1]
    np.testing.assert_allclose(found.scores[:, 0], 1, atol=1e-6)
    dots = top_k(corpus[:2], corpus, precision=precision, metric="dot")
    assert dots.scores.dtype == np.int32
    if "binary" in precision:
        assert dots.scores[0, 0] == 384


def test_binary_and_ubinary_are_the_same_bits(model: SentenceTransformer) -> None:
    found = [
        top_k(vectors, vectors, precision=precision)
        for precision in ("binary", "ubinary")
        for vectors in [model.encode(TEXTS, precision=precision)]
    ]
    assert found[0].indices.tobytes() == found[1].indices.tobytes()
    assert found[0].scores.tobytes() == found[1].scores.tobytes()


def test_one_query_and_fewer_rows_than_asked_for(model: SentenceTransformer) -> None:
    corpus = model.encode(TEXTS)
    found = top_k(corpus[2], corpus, 100)
    assert found.indices.shape == found.scores.shape == (5,)
    assert found.indices[0] == 2
    assert top_k(corpus, corpus[:0]).indices.shape == (5, 0)
    assert top_k(corpus[:0], corpus).indices.shape == (0, 5)


def test_what_else_is_a_matrix(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((50, 20), dtype=np.float32)
    expected = top_k(rows, rows)
    np.save(tmp_path / "v.npy", rows)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    for other in (mapped, rows.tolist(), rows.astype(np.float64), np.asfortranarray(rows)):
        found = top_k(other, other, threads=2)
        assert found.indices.tobytes() == expected.indices.tobytes()
        assert found.scores.tobytes() == expected.scores.tobytes()


FLOATS = np.ones((2, 4), np.float32)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((FLOATS, FLOATS), {"metric": "euclid"}, "metric is 'euclid', expected one of cosine, dot"),
        ((FLOATS, FLOATS), {"precision": "int4"}, "precision is 'int4', expected one of float32"),
        ((FLOATS, FLOATS), {"precision": "int8"}, "corpus: dtype float32, expected int8 for int8"),
        ((FLOATS.astype(int), FLOATS), {}, "queries: dtype int64, expected float32 for float32"),
        ((FLOATS[:, :3], FLOATS), {}, "queries have 3 columns and the corpus 4, expected equal"),
        ((FLOATS, FLOATS[0]), {}, "corpus: 1 dimensions, expected 2"),
        ((FLOATS[None], FLOATS), {}, "queries: 3 dimensions, expected 2"),
        ((FLOATS, FLOATS, 0), {}, "k is 0, expected a positive integer"),
        ((FLOATS, FLOATS), {"threads": 0}, "threads is 0, expected 1 to 1024"),
    ],
)
def test_what_makes_no_sense(arguments: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        top_k(*arguments, **options)
