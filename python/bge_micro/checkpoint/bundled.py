"""The model inside the package: its names and its folder."""

from __future__ import annotations

from pathlib import Path

BUNDLED_REPO_ID = "TaylorAI/bge-micro-v2"
BUNDLED_NAME = "bge-micro-v2"


def bundled_folder() -> Path:
    """Return the folder of the bge-micro-v2 inside the package."""
    return Path(__file__).resolve().parent.parent / "data" / BUNDLED_NAME
