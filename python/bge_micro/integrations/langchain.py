"""LangChain: ``vectorstore = InMemoryVectorStore(BgeMicroEmbeddings())``."""

from __future__ import annotations

from bge_micro.integrations.frameworks import needed
from bge_micro.integrations.held import HoldsModel

with needed("langchain-core", extra="langchain"):
    from langchain_core.embeddings import Embeddings


class BgeMicroEmbeddings(HoldsModel, Embeddings):
    """LangChain's Embeddings.

    The async methods are LangChain's own: they run these in a thread, and the event loop goes on
    because encoding gives up the GIL.
    """

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts to be found."""
        return self._held.documents(texts).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        """Embed a search query."""
        return self._held.query(text).tolist()  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        """Say what it is."""
        return f"{type(self).__name__}({self._held!r})"
