"""sentence-transformers on torch: what most people run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.files import ModelFiles
from bench.sides.base import BATCH_SIZES, Side, Vectors, versions


@dataclass
class SentenceTransformersSide:
    """`encode` sorts by length and makes batches itself."""

    model: Any
    versions: dict[str, str]
    batch_sizes: Sequence[int] = BATCH_SIZES

    def encode(self, texts: Sequence[str], batch_size: int) -> Vectors:
        vectors: Vectors = self.model.encode(
            list(texts), batch_size=batch_size, show_progress_bar=False
        )
        return vectors


def load(files: ModelFiles, threads: int, compute_type: str) -> Side:
    """Load the folder of float32 weights."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    model = SentenceTransformer(str(files.float_folder()), device="cpu", local_files_only=True)
    packages = versions("sentence-transformers", "transformers", "torch")
    return SentenceTransformersSide(model, packages)
