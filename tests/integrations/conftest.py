"""Texts, and their vectors as `encode` gives them: every integration must give the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import SentenceTransformer


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return [
        "The ferry left at noon, an hour before the storm.",
        "A cat sleeps on the warm wall behind the bakery.",
        "",
        "Bread is baked at four in the morning.",
        "Быстрая лиса прыгает через ленивую собаку.",
        "Ships wait in the harbour when the wind is strong. " * 40,
    ]


@pytest.fixture(scope="session")
def vectors(texts: list[str]) -> NDArray[np.float32]:
    """Return the vectors of `texts` at unit length, the integrations' default."""
    return SentenceTransformer().encode(texts, normalize_embeddings=True)
