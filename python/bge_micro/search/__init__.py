"""Exact search over vectors, and a saved index of texts."""

from __future__ import annotations

from bge_micro.search.index import Hit, Index
from bge_micro.search.saved import SavedIndexError
from bge_micro.search.semantic import (
    community_detection,
    paraphrase_mining,
    paraphrase_mining_embeddings,
    semantic_search,
)
from bge_micro.search.top_k import TopK, top_k

__all__ = [
    "Hit",
    "Index",
    "SavedIndexError",
    "TopK",
    "community_detection",
    "paraphrase_mining",
    "paraphrase_mining_embeddings",
    "semantic_search",
    "top_k",
]
