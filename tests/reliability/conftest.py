"""The model for tests of damaged files and full disks."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.tiny_model import write_tiny_model


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny")
