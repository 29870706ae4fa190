"""docs/keywords.md names everything that sentence-transformers' class has, and nothing else."""

from __future__ import annotations

import inspect

import pytest

pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")

import sentence_transformers
import torch

from api.test_keywords import ROWS

REAL = sentence_transformers.SentenceTransformer

pytestmark = pytest.mark.skipif(
    not sentence_transformers.__version__.startswith("6.2.") or not ROWS,
    reason="the page is about sentence-transformers 6.2",
)


def on_page(section: str) -> set[str]:
    return {row.name for row in ROWS if row.section.startswith(section)}


def test_constructor() -> None:
    assert on_page("Constructor") == {*inspect.signature(REAL).parameters}


def test_encode() -> None:
    named = {*inspect.signature(REAL.encode).parameters} - {"self", "kwargs"}
    assert on_page("encode") == named | {"task", "processing_kwargs"}


def test_methods() -> None:
    own = {name for name in dir(REAL) if not name.startswith("_")} - {*dir(torch.nn.Sequential)}
    # Two that torch has too, and that sentence-transformers documents.
    assert on_page("Methods") == own | {"compile", "forward"}


def test_keywords_of_other_methods() -> None:
    methods = {row.name.partition(".")[0] for row in ROWS if row.section.startswith("Keywords")}
    named = {
        f"{method}.{keyword}"
        for method in methods
        for keyword in {*inspect.signature(getattr(REAL, method)).parameters} - {"self", "kwargs"}
    }
    assert on_page("Keywords") == named
