"""The common part of the BERTopic and KeyBERT backends: their base classes have one `embed`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from bge_micro.integrations.held import COSINE_PRECISIONS, HoldsModel


class EmbedMixin(HoldsModel):
    """The one method that both frameworks call."""

    precisions = COSINE_PRECISIONS

    def embed(self, documents: Sequence[str], verbose: bool = False) -> NDArray[Any]:
        """Embed n documents, words or phrases: float32 (n, dimensions)."""
        return self._held.documents(documents)
