"""The official 8-bit export of bge-micro-v2, 17 MB, which stays outside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "shared/model"
FILES = ("model_quantized.onnx", "vocab.txt")


def official_export() -> Path:
    """Return the folder with the export and its vocabulary, or skip the test."""
    if not all((FOLDER / name).is_file() for name in FILES):
        pytest.skip(
            "needs the official export: put onnx/model_quantized.onnx and vocab.txt from "
            "https://huggingface.co/TaylorAI/bge-micro-v2 into the folder ../shared/model"
        )
    return FOLDER
