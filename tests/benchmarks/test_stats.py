"""The bench's arithmetic: medians, spreads, agreement, padding, float32 from the int8 export."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("bench", reason="the bench is part of a checkout only")

from bench.peak import all_multiply_adds, linear_multiply_adds
from bench.sides.base import batches_by_length, mean_pool, padded
from bench.stats import mean_cosine, summary
from bench.texts import lognormal_lengths, queries, sentences, texts_of


def test_few_values_give_their_range_and_many_their_quartiles() -> None:
    assert summary([2.0]).spread == 0
    assert summary([1.0, 2.0, 4.0]).spread == 1.5
    many = summary([1.0, 9.0, 10.0, 11.0, 100.0])
    assert (many.median, many.spread, many.count) == (10.0, 0.2, 5)
    assert many.scaled(1000).median == 10_000.0
    assert many.scaled(1000).spread == 0.2


def test_mean_cosine() -> None:
    assert mean_cosine([[1, 0], [0, 2]], [[3, 0], [2, 0]]) == pytest.approx(0.5)


def test_batches_are_padded_to_their_own_longest_text() -> None:
    rows = [[1, 2, 3], [4], [5, 6]]
    assert batches_by_length(rows, 2) == [[1, 2], [0]]
    ids, mask = padded([rows[1], rows[2]])
    assert ids.tolist() == [[4, 0], [5, 6]]
    assert mask.tolist() == [[1, 0], [1, 1]]
    tokens = np.array([[[2.0], [99.0]], [[1.0], [3.0]]], np.float32)
    assert mean_pool(tokens, mask).tolist() == [[2.0], [2.0]]


def test_multiply_adds_of_the_model() -> None:
    assert linear_multiply_adds() == 5_308_416
    assert all_multiply_adds(512) == 512 * (5_308_416 + 2 * 3 * 384 * 512)


def test_texts_are_distinct_and_of_the_lengths_asked_for() -> None:
    for texts in (queries(100), sentences(2000)):
        assert len(set(texts)) == len(texts)
    lengths = lognormal_lengths(100)
    texts = texts_of(lengths, lambda text: len(text.split()) + 2)
    assert [len(text.split()) + 2 for text in texts] == lengths
    assert len(set(texts)) == len(texts)
