"""The bundled model, loaded once, and texts to encode. Tests that change settings copy it first."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.tiny_model import write_tiny_model
from bge_micro import SentenceTransformer


@pytest.fixture(scope="session")
def model() -> SentenceTransformer:
    return SentenceTransformer(threads=2)


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    return [
        "The ferry left at noon.",
        "",
        "A cat sleeps on the warm stone wall behind the bakery, as it does every afternoon.",
        "Быстрая лиса прыгает через ленивую собаку.",
        "圖書館的老先生每天早上讀報。",
        "return (a[i] == b[j]) ? i : -1;",
        "ok",
        "Two trains, three delays and no coffee: that was the whole of the journey north. " * 4,
        "Naïve café owners re-opened their façade in 2021 🙂",
        "The ferry left at noon.",
    ]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small random float32 model; copy it before changing anything."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
