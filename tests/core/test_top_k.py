"""Exact search in the core equals NumPy's, on every instruction set, with any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bge_micro import _core
from core.isas import SUPPORTED, Floats, assert_same_bits, special_rows
from properties import examples

ELEMENTS = ["float32", "int8", "uint8", "bits"]
METRICS = ["dot", "cosine"]
WIDTHS = [1, 2, 7, 8, 15, 16, 17, 31, 48, 63, 64, 65, 100, 384]
Vectors = NDArray[Any]


def random_vectors(element: str, rows: int, width: int, seed: int = 0) -> Vectors:
    rng = np.random.default_rng([rows, width, seed])
    if element == "float32":
        return rng.standard_normal((rows, width), dtype=np.float32)
    raw = rng.integers(0, 256, (rows, width), dtype=np.uint8)
    return raw.view(np.int8) if element == "int8" else raw


def top_k(
    isa: str, queries: Vectors, rows: Vectors, k: int, element: str, metric: str, threads: int = 1
) -> tuple[NDArray[np.int64], Vectors]:
    return _core.top_k(queries, rows, k, element=element, metric=metric, threads=threads, isa=isa)


def values(vectors: Vectors, element: str) -> NDArray[np.float64]:
    """Return the numbers that vectors of codes represent."""
    if element == "bits":
        return np.unpackbits(vectors, axis=1) * 2.0 - 1.0
    return vectors.astype(np.float64) - (128 if element == "uint8" else 0)


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def ordered_dot(a: Floats, b: Floats) -> np.float32:
    """Compute a float score with NumPy: 16 chains, then sums by halving."""
    size = len(a) + -len(a) % 16
    x, y = (np.pad(v, (0, size - len(v))).reshape(-1, 16) for v in (a, b))
    lanes = np.zeros(16, np.float32)
    for left, right in zip(x, y, strict=True):
        lanes = _core.kernels.soft_fma(left, right, lanes).astype(np.float32)
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return np.float32(lanes[0])


def ranked(scores: Vectors, k: int) -> NDArray[np.int64]:
    """Return the best columns of each row; if scores are equal, the lower column comes first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("element", ["int8", "uint8", "bits"])
def test_integer_scores_are_exact(isa: str, element: str, width: int) -> None:
    rows = random_vectors(element, 70, width)
    queries = random_vectors(element, 7, width, seed=1)
    expected = (values(queries, element) @ values(rows, element).T).astype(np.int32)
    indices, scores = top_k(isa, queries, rows, 70, element, "dot")
    assert_same_bits(indices, ranked(expected, 70))
    assert_same_bits(scores, np.take_along_axis(expected, indices, axis=1))


@pytest.mark.parametrize("byte", [0, 1, 0x7F, 0x80, 0x81, 0xFF])
@pytest.mark.parametrize("element", ["int8", "uint8", "bits"])
def test_the_extremes_of_bytes(isa: str, element: str, byte: int) -> None:
    """No intermediate sum saturates, even if 32768 products have the largest possible value."""
    width = 32768
    rows = np.array([[byte] * width, [0x80] * width, [0x7F] * width], np.uint8)
    rows = rows.view(np.int8) if element == "int8" else rows
    expected = (values(rows[:1], element) @ values(rows, element).T).astype(np.int32)
    indices, scores = top_k(isa, rows[:1], rows, 3, element, "dot")
    assert_same_bits(scores, np.take_along_axis(expected, indices, axis=1))
    cosine = unit(values(rows[:1], element)) @ unit(values(rows, element)).T
    indices, scores = top_k(isa, rows[:1], rows, 3, element, "cosine")
    np.testing.assert_allclose(scores, np.take_along_axis(cosine, indices, axis=1), atol=3e-7)


@pytest.mark.parametrize("width", WIDTHS)
def test_float_scores_are_ordered_chains(isa: str, width: int) -> None:
    rows = random_vectors("float32", 9, width)
    queries = random_vectors("float32", 5, width, seed=1)
    expected = np.array([[ordered_dot(row, query) for row in rows] for query in queries])
    indices, scores = top_k(isa, queries, rows, 9, "float32", "dot")
    assert_same_bits(indices, ranked(expected, 9))
    assert_same_bits(scores, np.take_along_axis(expected, indices, axis=1))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("element", ELEMENTS)
def test_cosine(isa: str, element: str, width: int) -> None:
    rows = random_vectors(element, 40, width)
    queries = random_vectors(element, 6, width, seed=1)
    expected = unit(values(queries, element)) @ unit(values(rows, element)).T
    indices, scores = top_k(isa, queries, rows, 40, element, "cosine")
    assert scores.dtype == np.float32
    assert (np.diff(scores) <= 0).all()
    np.testing.assert_allclose(scores, np.take_along_axis(expected, indices, axis=1), atol=5e-7)


@pytest.mark.parametrize("element", ELEMENTS)
def test_cosine_has_no_sides(element: str) -> None:
    vectors = random_vectors(element, 30, 100)
    indices, scores = top_k(SUPPORTED[0], vectors, vectors, 30, element, "cosine")
    matrix = np.empty((30, 30), np.float32)
    np.put_along_axis(matrix, indices, scores, axis=1)
    assert_same_bits(matrix, matrix.T.copy())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize(("queries", "rows", "width"), [(1, 5000, 48), (70, 3000, 100)])
def test_threads_and_instruction_sets(
    isa: str, element: str, metric: str, queries: int, rows: int, width: int
) -> None:
    """Every way to share the work gives the same bytes, ties included."""
    corpus = random_vectors(element, rows, width)
    corpus[rows // 2 :] = corpus[: rows - rows // 2]  # every score twice
    asked = random_vectors(element, queries, width, seed=1)
    expected = top_k("scalar", asked, corpus, 25, element, metric)
    for threads in (1, 2, 3):
        for found, wanted in zip(
            top_k(isa, asked, corpus, 25, element, metric, threads), expected, strict=True
        ):
            assert_same_bits(found, wanted, f"{threads} threads")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("element", ELEMENTS)
def test_of_equals_the_first_rows_are_taken(isa: str, element: str, metric: str) -> None:
    rows = np.repeat(random_vectors(element, 1, 16), 3000, axis=0)
    indices, _ = top_k(isa, rows[:1], rows, 10, element, metric, threads=2)
    assert indices.tolist() == [list(range(10))]


@pytest.mark.parametrize("metric", METRICS)
def test_special_rows(isa: str, metric: str) -> None:
    rows = special_rows(64)
    expected = top_k("scalar", rows, rows, len(rows), "float32", metric)
    found = top_k(isa, rows, rows, len(rows), "float32", metric)
    for actual, wanted in zip(found, expected, strict=True):
        assert_same_bits(actual, wanted)


def test_what_is_no_number_comes_last(isa: str) -> None:
    rows = np.ones((40, 20), np.float32)
    rows[3, 17] = np.nan
    rows[5] = np.inf
    rows[6, 0], rows[6, 1] = np.inf, -np.inf
    indices, scores = top_k(isa, rows[:1], rows, 40, "float32", "dot")
    assert indices[0, 0] == 5
    assert indices[0, -2:].tolist() == [3, 6]
    assert scores[0, -2:].tolist() == [-np.inf, -np.inf]
    assert scores[0, 1:-2].tolist() == [20.0] * 37


def test_rows_of_zeros(isa: str) -> None:
    for element in ("float32", "int8"):
        rows = np.zeros((3, 20), element)
        rows[1] = 1
        indices, scores = top_k(isa, rows, rows, 3, element, "cosine")
        assert indices.tolist() == [[0, 1, 2], [1, 0, 2], [0, 1, 2]]
        assert scores[0].tolist() == [0, 0, 0]
        assert scores[1, 0] == pytest.approx(1)


@examples(60)
@given(
    st.sampled_from(ELEMENTS), st.sampled_from(METRICS), st.integers(1, 9), st.integers(1, 90),
    st.integers(1, 70), st.data(),
)  # fmt: skip
def test_any_shape(
    element: str, metric: str, queries: int, rows: int, width: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(0, rows))
    corpus = random_vectors(element, rows, width)
    asked = random_vectors(element, queries, width, seed=1)
    everything = top_k("scalar", asked, corpus, rows, element, metric)
    for isa in SUPPORTED:
        found = top_k(isa, asked, corpus, k, element, metric)
        for actual, wanted in zip(found, everything, strict=True):
            assert_same_bits(actual, wanted[:, :k].copy(), isa)


@pytest.mark.parametrize(
    ("queries", "rows", "k", "message"),
    [
        (np.ones((1, 3), np.float32), np.ones((2, 4), np.float32), 1, "same number of columns"),
        (np.ones((1, 4)), np.ones((2, 4), np.float32), 1, "queries must be"),
        (np.ones((1, 4), np.float32), np.ones((4, 2), np.float32).T, 1, "rows must be"),
        (np.ones((1, 4), np.float32), np.ones((2, 4), np.float32), 3, "k is 3, expected 0 to"),
        (np.ones((1, 32769), np.float32), np.ones((2, 32769), np.float32), 1, "1 to 32768"),
    ],
)
def test_what_does_not_fit_is_refused(queries: Any, rows: Any, k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        top_k("scalar", queries, rows, k, "float32", "dot")
