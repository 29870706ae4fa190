"""The golden texts and the bundled model, loaded once for all tests here."""

from __future__ import annotations

import pytest

from bge_micro import SentenceTransformer
from golden.make_digests import COMPUTE_TYPES, golden_texts


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Return all golden texts."""
    return golden_texts()


@pytest.fixture(scope="session", params=COMPUTE_TYPES)
def model(request: pytest.FixtureRequest) -> SentenceTransformer:
    """Run the test for both compute types, on the best instruction set."""
    return SentenceTransformer(compute_type=request.param)
