"""The names that the core knows are those that Python offers, in the same order."""

from __future__ import annotations

from bge_micro import _core, choices
from bge_micro.search.top_k import METRICS


def test_choices_of_the_core_are_those_of_python() -> None:
    assert _core.choices == {
        "compute_type": choices.COMPUTE_TYPES,
        "pooling": choices.POOLINGS,
        "precision": choices.PRECISIONS,
        "activation": choices.ACTIVATIONS,
        "element": ("float32", "int8", "uint8", "bits"),
        "metric": ("dot", "cosine"),
    }
    assert set(_core.choices["metric"]) == set(METRICS)
