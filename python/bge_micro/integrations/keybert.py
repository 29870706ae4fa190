"""KeyBERT: ``KeyBERT(model=BgeMicroBackend())``."""

from __future__ import annotations

from bge_micro.integrations.frameworks import needed
from bge_micro.integrations.keywords import EmbedMixin

with needed("keybert", extra="keybert"):
    from keybert.backend import BaseEmbedder


class BgeMicroBackend(EmbedMixin, BaseEmbedder):
    """KeyBERT's BaseEmbedder, for documents and candidate phrases."""
