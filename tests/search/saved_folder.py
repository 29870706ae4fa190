"""What the tests of saved indexes share: a small one, and its files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro.search.saved import append_index, new_index, open_index
from bge_micro.search.space import index_options

TEXTS = ["a", 'b "quoted"\n', "", "\ud800 é 日", "\u2028"]
IDS = ["one", None, "\ud800", "", "five"]
METADATA = [{"page": 1, "tags": ["é", None]}, None, 1.5, "text", [True]]
OPTIONS = index_options(None, "float32")
DTYPES = {"float32": "<f4", "int8": "|i1", "uint8": "|u1", "binary": "|i1", "ubinary": "|u1"}

posix = pytest.mark.skipif(os.name == "nt", reason="of POSIX")


def vectors_of(rows: int, dtype: str = "<f4", first: int = 0) -> NDArray[Any]:
    return (np.arange(rows * 6).reshape(rows, 6) + first).astype(dtype)


def save(
    folder: Path,
    texts: list[str] = TEXTS,
    *,
    first: int = 0,
    precision: str = "float32",
    labelled: bool = False,
) -> None:
    """Save texts, with ids and metadata if wanted."""
    vectors = vectors_of(len(texts), DTYPES[precision], first)
    labels = [IDS[: len(texts)], METADATA[: len(texts)]] if labelled else []
    options = index_options(None, precision)
    with new_index(folder, "space", options, vectors, prompt="p: ") as writer:
        writer.append(texts, vectors, *labels)


def append(folder: Path, texts: list[str], *labels: list[Any], first: int = 0) -> None:
    """Append texts whose vectors begin with a number."""
    facts = open_index(folder).facts
    vectors = vectors_of(len(texts), DTYPES[facts.options["precision"]], first)
    with append_index(folder, facts, vectors) as writer:
        writer.append(texts, vectors, *labels)


def as_format_2(folder: Path) -> Path:
    """Turn a folder into one of format 2."""
    facts = facts_of(folder)
    for name in ("prompt", "ids", "metadata"):
        del facts[name]
    put_facts(folder, facts | {"format": 2})
    return folder


def as_format_1(folder: Path) -> Path:
    """Turn a folder into one of format 1."""
    as_format_2(folder)
    facts = facts_of(folder)
    file_of(folder, "vectors").rename(folder / "vectors.npy")
    file_of(folder, "texts").rename(folder / "texts.jsonl")
    (folder / ".lock").unlink()
    del facts["vectors"], facts["texts"]
    put_facts(folder, facts | {"format": 1})
    return folder


def facts_of(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "index.json").read_text())
    return facts


def put_facts(folder: Path, facts: Any) -> None:
    (folder / "index.json").write_text(json.dumps(facts))


def file_of(folder: Path, kind: str) -> Path:
    name: str = facts_of(folder)[kind]["file"]
    return folder / name


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
