"""A saved index, copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .saved_folder import save


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "index"
    save(folder)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """Return a copy of a saved index, which takes less time than to have another on the disk."""
    return shutil.copytree(original, tmp_path / "index")
