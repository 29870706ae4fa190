"""LangChain: ``vectorstore = InMemoryVectorStore(BgeMicroEmbeddings())``."""

from __future__ import annotations

from bge_micro.integrations.frameworks import needed
from bge_micro.integrations.held import HoldsModel

with needed("langchain-core", extra="langchain"):
    from langchain_core.embeddings import Embeddings


class BgeMicroEmbeddings(HoldsModel, Embeddings):
    """LangChain's Embeddings.

    The async methods are LangChain's: they run these methods in a thread, and the event loop goes
    on because encoding releases the GIL.
    """

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents."""
        return self._held.documents(texts).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        """Embed a search query."""
        return self._held.query(text).tolist()  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        """Show the settings."""
        return f"{type(self).__name__}({self._held!r})"
