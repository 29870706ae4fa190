"""Small models of every family: the same bytes on every instruction set, batch and team."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.isas import SUPPORTED, assert_same_bits
from family_models import KINDS, PADDING_ID, family_weights
from golden.make_digests import COMPUTE_TYPES
from invariance.core_model import CoreModel, Ids

pytestmark = [
    pytest.mark.parametrize("compute_type", COMPUTE_TYPES),
    pytest.mark.parametrize("kind", [pytest.param(k, id=n) for n, k in KINDS.items()]),
]


def texts_for(kind: Any) -> list[Ids]:
    """Return ids of texts of awkward lengths, with padding tokens in them."""
    rng = np.random.default_rng(4)
    texts = []
    for length in (1, 17, 2, 33, 15, 16, kind.config.max_tokens, 3):
        ids = rng.integers(kind.config.vocab, size=length, dtype=np.int32)
        ids[length // 2 :: 5] = PADDING_ID
        texts.append(ids)
    return texts


def test_instruction_sets_agree(kind: Any, compute_type: str) -> None:
    texts, tensors = texts_for(kind), family_weights(kind)
    expected = CoreModel(kind.config, tensors, compute_type, "scalar").encode(texts)
    assert all(np.isfinite(result).all() for result in expected)
    for isa in SUPPORTED:
        model = CoreModel(kind.config, tensors, compute_type, isa)
        for actual, wanted in zip(model.encode(texts), expected, strict=True):
            assert_same_bits(actual, wanted, f"{isa}, text of {len(wanted) - 1} tokens")


def test_batches_and_threads_agree(kind: Any, compute_type: str) -> None:
    texts = texts_for(kind)
    model = CoreModel(kind.config, family_weights(kind), compute_type)
    alone = [model.encode([text])[0] for text in texts]
    for threads in (1, 2, 3):
        for results in (model.encode(texts, threads), model.encode(texts[::-1], threads)[::-1]):
            for actual, wanted in zip(results, alone, strict=True):
                assert_same_bits(actual, wanted, f"{threads} threads")
