"""sentence-transformers is the reference: both libraries give the same vectors for a folder."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bge_micro import SentenceTransformer

WORDS = ["query", "text", "the", "cat", "sat", "on", "a", "mat", "and", "then", "slept"]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s", "##ed", ".", ",", ":", "-"]
TEXTS = [
    "The cat sat on a mat.",
    "cats",
    "",
    "unheard words, then the mat: and the cats slept on, and on, and on, and on" * 3,
    "  Text\tand\ntext ",
]
ENCODE: list[tuple[str, dict[str, Any]]] = [("encode", {})]


def same_vectors(
    theirs: SimpleNamespace,
    folder: Path,
    calls: list[tuple[str, dict[str, Any]]] = ENCODE,
    texts: list[str] = TEXTS,
) -> SentenceTransformer:
    """Assert that both libraries give the same vectors for every method and options."""
    ours = SentenceTransformer(folder, compute_type="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = theirs.library.SentenceTransformer(str(folder), device="cpu")
        assert ours.max_seq_length == reference.max_seq_length
        assert ours.prompts == reference.prompts
        assert ours.default_prompt_name == reference.default_prompt_name
        assert ours.similarity_fn_name == reference.similarity_fn_name
        for method, options in calls:
            expected = getattr(reference, method)(texts, **options)
            found = getattr(ours, method)(texts, **options)
            scale = np.abs(expected).max()
            np.testing.assert_allclose(
                found, expected, atol=1e-5 * scale, err_msg=f"{method} {options}"
            )
    return ours


def copy_into(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
