"""Rerankers of every family, read from their own files, against float64 arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import reference
from bge_micro import CrossEncoder
from family_models import KINDS, family_weights, head_weights, pair_ids, write_reranker_folder
from random_weights import Tensors

pytestmark = pytest.mark.parametrize("kind", [pytest.param(k, id=n) for n, k in KINDS.items()])

# Both sides of every kind of truncation: none, the longer text, both.
PAIRS = [
    ("w1", "w2"),
    ("", "w3 w4 w5"),
    ("w6 w7", ""),
    ("w8 [PAD] w9", "w10 [PAD] [PAD] w11"),
    *((f"w{n} w{n * n % 50}", f"w{7 * n % 50} w{3 * n % 50} w{n}") for n in range(30)),
]


def expected(kind: Any, tensors: Tensors, head: Tensors) -> NDArray[np.float64]:
    """Return the logits of the pairs in float64, (n, labels)."""
    rows = []
    for first, second in PAIRS:
        ids, types = pair_ids(first, second)
        known = types if kind.config.token_types > 1 else None
        vector = reference.encode(tensors, ids, kind.config, "cls", known).vector
        rows.append(reference.classify(head, kind.family.head, vector))
    return np.array(rows)


def spearman(a: NDArray[Any], b: NDArray[Any]) -> float:
    ranks = [np.argsort(np.argsort(each)) for each in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("wrapper", ["", "0.model."])
def test_logits(kind: Any, labels: int, wrapper: str, tmp_path: Path) -> None:
    tensors, head = family_weights(kind), head_weights(kind, labels)
    write_reranker_folder(tmp_path, kind, tensors, head, wrapper=wrapper)
    model = CrossEncoder(tmp_path, activation_fn="identity", compute_type="float32")
    assert model.num_labels == labels
    found = model.predict(PAIRS).reshape(len(PAIRS), labels)
    wanted = expected(kind, tensors, head)
    np.testing.assert_allclose(found, wanted, atol=3e-5 * np.abs(wanted).max())


def test_int8_ranks_as_float32(kind: Any, tmp_path: Path) -> None:
    tensors, head = family_weights(kind), head_weights(kind, 1)
    write_reranker_folder(tmp_path, kind, tensors, head)
    found = CrossEncoder(tmp_path, compute_type="int8").predict(PAIRS)
    assert spearman(found, expected(kind, tensors, head)[:, 0]) >= 0.995
