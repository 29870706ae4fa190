"""Models with random, hard weights: the same bytes on every instruction set, batch and team."""

from __future__ import annotations

import numpy as np
import pytest

from core.isas import SUPPORTED, assert_same_bits
from golden.make_digests import COMPUTE_TYPES
from invariance.random_models import KINDS, random_model, random_texts

pytestmark = [
    pytest.mark.parametrize("compute_type", COMPUTE_TYPES),
    pytest.mark.parametrize("kind", KINDS),
]


def test_results_are_finite_and_tell_texts_apart(kind: str, compute_type: str) -> None:
    results = random_model(kind, compute_type).encode(random_texts())
    assert all(np.isfinite(result).all() for result in results)
    vectors = {result[0].tobytes() for result in results}
    assert len(vectors) == len(results)
    if kind == "subnormal results":
        assert 0 < np.abs(results[0]).max() < np.finfo(np.float32).smallest_normal


def test_instruction_sets_agree(kind: str, compute_type: str) -> None:
    texts = random_texts()
    expected = random_model(kind, compute_type, "scalar").encode(texts)
    for isa in SUPPORTED:
        model = random_model(kind, compute_type, isa)
        assert model.isa == isa
        for actual, wanted in zip(model.encode(texts), expected, strict=True):
            assert_same_bits(actual, wanted, f"{isa}, text of {len(wanted) - 1} tokens")


def test_batches_and_threads_agree(kind: str, compute_type: str) -> None:
    model, texts = random_model(kind, compute_type), random_texts()
    alone = [model.encode([text])[0] for text in texts]
    for threads in (1, 2, 3):
        for size in (1, 3, len(texts)):
            batches = [texts[i : i + size] for i in range(0, len(texts), size)]
            results = [result for batch in batches for result in model.encode(batch, threads)]
            for actual, wanted in zip(results, alone, strict=True):
                assert_same_bits(actual, wanted, f"{size} a batch, {threads} threads")
        backwards = model.encode(texts[::-1], threads)
        for actual, wanted in zip(backwards, alone[::-1], strict=True):
            assert_same_bits(actual, wanted, f"backwards, {threads} threads")
