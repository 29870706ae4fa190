"""bge_micro.util and similarity against sentence_transformers.util, with arrays and tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

import torch
from sentence_transformers import util as theirs

import bge_micro
from bge_micro import util as ours

Floats = NDArray[np.float32]

FORMS: dict[str, Callable[[Floats], Any]] = {
    "array": lambda rows: rows,
    "list of arrays": list,
    "tensor": torch.from_numpy,
    "list of tensors": lambda rows: list(torch.from_numpy(rows)),
    "tensor with gradient": lambda rows: torch.from_numpy(rows.copy()).requires_grad_(),
}


def vectors(rows: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((rows, 32), dtype=np.float32)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Callable[[Floats], Any]:
    return FORMS[request.param]


def check(found: Any, expected: Any, given: Any) -> None:
    """Compare results, which are tensors if the vectors given are."""
    assert isinstance(found, torch.Tensor) == ours.similarity.is_tensor(given)
    np.testing.assert_allclose(np.asarray(found), expected.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["cos_sim", "dot_score"])
def test_scores_of_all_pairs(name: str, form: Callable[[Floats], Any]) -> None:
    for a, b in ((vectors(5), vectors(7, 1)), (vectors(1), vectors(3, 1))):
        check(getattr(ours, name)(form(a), form(b)), getattr(theirs, name)(a, b), form(a))
    one = getattr(ours, name)(vectors(1)[0], form(vectors(3)))
    check(one, getattr(theirs, name)(vectors(1)[0], vectors(3)), form(vectors(3)))


@pytest.mark.parametrize("name", ["pairwise_cos_sim", "pairwise_dot_score"])
def test_scores_of_rows(name: str, form: Callable[[Floats], Any]) -> None:
    a, b = vectors(5), vectors(5, 1)
    check(getattr(ours, name)(form(a), form(b)), getattr(theirs, name)(a, b), form(a))


def test_normalize(form: Callable[[Floats], Any]) -> None:
    rows = np.concatenate([vectors(5), np.zeros((1, 32), np.float32)])
    expected = theirs.normalize_embeddings(torch.from_numpy(rows))
    check(ours.normalize_embeddings(form(rows)), expected, form(rows))


@pytest.mark.parametrize("function", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity_of_a_model(function: Any, form: Callable[[Floats], Any]) -> None:
    model = bge_micro.SentenceTransformer(similarity_fn_name=function)
    a, b = vectors(4), vectors(4, 1)
    scores = theirs.SimilarityFunction
    all_pairs, rows = scores.to_similarity_fn(function), scores.to_similarity_pairwise_fn(function)
    check(model.similarity(form(a), form(b)), all_pairs(a, b), form(a))
    check(model.similarity(a, form(b)), all_pairs(a, b), form(b))
    check(model.similarity_pairwise(form(a), form(b)), rows(a, b), form(a))
    low = torch.from_numpy(a).to(torch.bfloat16)
    check(model.similarity(low, b), all_pairs(low.float().numpy(), b), low)


@pytest.mark.parametrize("function", ["cos_sim", "dot_score"])
def test_semantic_search(function: str, form: Callable[[Floats], Any]) -> None:
    queries, corpus = vectors(4), vectors(60, 1)
    expected = theirs.semantic_search(
        torch.from_numpy(queries), torch.from_numpy(corpus), 2, 25, 7, getattr(theirs, function)
    )
    for scored in (getattr(ours, function), getattr(theirs, function)):
        found = ours.semantic_search(form(queries), form(corpus), 2, 25, 7, scored)
        for hits, right in zip(found, expected, strict=True):
            assert [hit["corpus_id"] for hit in hits] == [hit["corpus_id"] for hit in right]
            assert [hit["score"] for hit in hits] == pytest.approx(
                [hit["score"] for hit in right], abs=1e-5
            )


def test_paraphrase_mining() -> None:
    model = bge_micro.SentenceTransformer()
    texts = ["A cat sat down.", "Prices rose.", "The cat sat down.", "Prices went up.", "A boat."]
    expected = theirs.paraphrase_mining(model, texts, False, 32, 5000, 100000, 6, 3)
    found = ours.paraphrase_mining(model, texts, False, 32, 5000, 100000, 6, 3)
    assert [pair[1:] for pair in found] == [tuple(pair[1:]) for pair in expected]
    assert [pair[0] for pair in found] == pytest.approx([pair[0] for pair in expected], abs=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_community_detection(seed: int, form: Callable[[Floats], Any]) -> None:
    source = np.random.default_rng(seed)
    centres = vectors(6, seed)
    rows = centres[source.integers(6, size=80)] + 0.6 * vectors(80, seed + 100)
    for least in (3, 8, 81):
        expected = theirs.community_detection(rows, 0.75, least, 32)
        found = ours.community_detection(form(rows), 0.75, least, 32)
        assert found == expected


@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
def test_quantize(precision: Any, form: Callable[[Floats], Any]) -> None:
    rows = vectors(40)
    ranges = np.stack([rows.min(axis=0), rows.max(axis=0)]) / np.float32(2)
    for options in ({}, {"ranges": ranges}, {"calibration_embeddings": vectors(300, 1)}):
        expected = theirs.quantize_embeddings(rows, precision, **options)
        found = ours.quantize_embeddings(form(rows), precision, **options)
        assert found.dtype == expected.dtype
        assert found.tobytes() == expected.tobytes()
