"""BERTopic: ``BERTopic(embedding_model=BgeMicroBackend())``."""

from __future__ import annotations

from bge_micro.integrations.frameworks import needed
from bge_micro.integrations.keywords import EmbedMixin

with needed("bertopic", extra="bertopic"):
    from bertopic.backend import BaseEmbedder


class BgeMicroBackend(EmbedMixin, BaseEmbedder):
    """BERTopic's BaseEmbedder, for documents and words."""
