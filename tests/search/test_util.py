"""bge_micro.util against plain NumPy; tests/integrations compares it with the real functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import search, util

Floats = NDArray[np.float32]


def vectors(rows: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, 20), dtype=np.float32)


def test_scores() -> None:
    a, b = vectors(5), vectors(7, seed=1)
    lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(util.dot_score(a, b), a @ b.T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(util.cos_sim(a, b), a @ b.T / lengths, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        util.pairwise_cos_sim(a, b[:5]), np.diag(a @ b.T / lengths), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        util.pairwise_dot_score(a, b[:5]), np.diag(a @ b.T), rtol=1e-5, atol=1e-5
    )
    assert util.cos_sim(list(a), b[0].tolist()).shape == (5, 1)
    units = util.normalize_embeddings(np.concatenate([a, np.zeros_like(a[:1])]))
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), [1, 1, 1, 1, 1, 0], rtol=1e-6)


def test_searching_is_that_of_search() -> None:
    assert util.semantic_search is search.semantic_search
    assert util.paraphrase_mining is search.paraphrase_mining
    assert util.community_detection is search.community_detection
    a, b = vectors(5), vectors(7, seed=1)
    by_function = util.semantic_search(a, b, score_function=util.dot_score)
    assert by_function == search.semantic_search(a, b, score_function="dot")


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_quantize_by_ranges(precision: Any) -> None:
    rows = vectors(50)
    codes = util.quantize_embeddings(rows, precision)
    assert codes.dtype == precision
    least = -128 if precision == "int8" else 0
    assert (codes.min(axis=0) == least).all()
    assert (codes.max(axis=0) >= least + 254).all()
    ranges = np.stack([rows.min(axis=0), rows.max(axis=0)])
    for other in (
        util.quantize_embeddings(rows, precision, ranges=ranges),
        util.quantize_embeddings(rows, precision, calibration_embeddings=rows),
        util.quantize_embeddings(list(rows), precision),
    ):
        np.testing.assert_array_equal(other, codes)
    one = util.quantize_embeddings(rows[0], precision, ranges=ranges)
    np.testing.assert_array_equal(one, codes[0])
    assert util.quantize_embeddings(rows[:0], precision).shape == (0, 20)


def test_quantize_to_bits() -> None:
    rows = vectors(9)
    bits = util.quantize_embeddings(rows, "ubinary")
    np.testing.assert_array_equal(np.unpackbits(bits, axis=1)[:, :20], rows > 0)
    signed = util.quantize_embeddings(rows, "binary")
    assert signed.dtype == np.int8
    np.testing.assert_array_equal(signed.astype(int), bits.astype(int) - 128)


def test_what_cannot_be_quantized() -> None:
    rows = vectors(3)
    with pytest.raises(ValueError, match="one vector has no ranges of its own"):
        util.quantize_embeddings(rows[:1], "int8")
    with pytest.raises(ValueError, match=r"ranges have shape \(3, 20\), expected \(2, 20\)"):
        util.quantize_embeddings(rows, "int8", ranges=rows)
    with pytest.raises(TypeError, match="embeddings are int8, expected floats"):
        util.quantize_embeddings(rows.astype(np.int8), "int8")
    with pytest.raises(ValueError, match="precision is 'int4'"):
        util.quantize_embeddings(rows, "int4")  # type: ignore[arg-type]
