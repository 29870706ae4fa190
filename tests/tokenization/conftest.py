"""The model's tokenizer, as this package's class and as Hugging Face's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tokenizers
from tokenization_cases import Reference

from bge_micro.tokenization import Tokenizer

BUNDLED = Path(__file__).resolve().parents[2] / "python/bge_micro/data/bge-micro-v2"


@pytest.fixture(scope="session")
def tokenizer_json() -> str:
    return (BUNDLED / "tokenizer.json").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def tokenizer_file(tokenizer_json: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(tokenizer_json, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tokenizer(tokenizer_json: str) -> Tokenizer:
    return Tokenizer.from_json(tokenizer_json, source="tokenizer.json")


@pytest.fixture(scope="session")
def reference(tokenizer_json: str) -> Reference:
    """Ids by Hugging Face: of the whole text first, which are then truncated."""
    inner = tokenizers.Tokenizer.from_str(tokenizer_json)
    inner.no_padding()

    def encode(text: str, limit: int) -> list[int]:
        inner.enable_truncation(limit)
        return list(inner.encode(re.sub("[\ud800-\udfff]", "\ufffd", text)).ids)

    return encode
