"""This package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.files import ModelFiles
from bench.sides.base import Side, Vectors, versions


@dataclass
class OurSide:
    """`SentenceTransformer.encode`; BGE_MICRO_ISA chooses the instruction set, as for any user."""

    model: Any
    versions: dict[str, str]
    batch_sizes: Sequence[int] = (0,)  # has no effect here: texts are never padded

    def encode(self, texts: Sequence[str], batch_size: int) -> Vectors:
        vectors: Vectors = self.model.encode(texts)
        return vectors


def load(files: ModelFiles, threads: int, compute_type: str) -> Side:
    """Load the bundled model."""
    from bge_micro import SentenceTransformer

    model = SentenceTransformer(compute_type=compute_type, threads=threads)
    return OurSide(model, versions("bge-micro", "tokenizers"))
