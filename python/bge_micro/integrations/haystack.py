"""Haystack: ``pipeline.add_component("embedder", BgeMicroTextEmbedder())``.

Haystack makes components of saved pipelines only from modules that the caller trusts:
``Pipeline.loads(saved, allowed_modules=["bge_micro.integrations.haystack"])``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bge_micro.integrations.frameworks import needed
from bge_micro.integrations.held import HoldsModel

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from bge_micro.option_types import HeldSettings

with needed("haystack-ai", extra="haystack"):
    from haystack import Document, component, default_to_dict


class _Embedder(HoldsModel):
    """The common base of both components."""

    def warm_up(self) -> None:
        """Load the model; otherwise the first run loads it."""
        _ = self._held.model

    def to_dict(self) -> dict[str, Any]:
        """Serialise the component; `from_dict` is Haystack's own."""
        return default_to_dict(self, **self._held.settings())  # type: ignore[no-any-return]


@component
class BgeMicroTextEmbedder(_Embedder):
    """Embeds one text, such as a search query."""

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        """Embed a text: ``{"embedding": [...]}``."""
        _check_text(text)
        return {"embedding": self._held.query(text).tolist()}

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, Any]:
        """Embed as `run` does, in a thread: the event loop goes on meanwhile."""
        _check_text(text)
        return {"embedding": (await self._held.aquery(text)).tolist()}


@component
class BgeMicroDocumentEmbedder(_Embedder):
    """Embeds documents: returns copies of them with embeddings."""

    def __init__(
        self,
        model_name_or_path: str = "bge-micro-v2",
        *,
        meta_fields_to_embed: Sequence[str] = (),
        embedding_separator: str = "\n",
        **settings: Unpack[HeldSettings],
    ) -> None:
        """Remember what to load.

        Args:
            model_name_or_path: As for `SentenceTransformer`.
            meta_fields_to_embed: Names of meta fields to embed before each document's content.
            embedding_separator: Text between these fields and the content.
            **settings: The other settings of `HeldModel`.
        """
        # Not super(): @component replaces this class by a new one.
        _Embedder.__init__(self, model_name_or_path, **settings)
        self.meta_fields_to_embed = list(meta_fields_to_embed)
        self.embedding_separator = embedding_separator

    def to_dict(self) -> dict[str, Any]:
        """Serialise the component; `from_dict` is Haystack's own."""
        data = _Embedder.to_dict(self)
        data["init_parameters"] |= {
            "meta_fields_to_embed": self.meta_fields_to_embed,
            "embedding_separator": self.embedding_separator,
        }
        return data

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Embed documents: ``{"documents": [...]}``; the given documents are not changed."""
        vectors = self._held.documents(self._texts(documents))
        return {"documents": _with_embeddings(documents, vectors.tolist())}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, Any]:
        """Embed as `run` does, in a thread: the event loop goes on meanwhile."""
        vectors = await self._held.adocuments(self._texts(documents))
        return {"documents": _with_embeddings(documents, vectors.tolist())}

    def _texts(self, documents: list[Document]) -> list[str]:
        if not all(isinstance(document, Document) for document in documents):
            raise TypeError(
                "BgeMicroDocumentEmbedder takes a list of Documents; "
                "BgeMicroTextEmbedder embeds a string."
            )
        return [self._text(document) for document in documents]

    def _text(self, document: Document) -> str:
        fields = [document.meta.get(name) for name in self.meta_fields_to_embed]
        present = [str(field) for field in fields if field is not None]
        return self.embedding_separator.join([*present, document.content or ""])


def _check_text(text: Any) -> None:
    if not isinstance(text, str):
        raise TypeError(
            f"BgeMicroTextEmbedder takes a string, not a {type(text).__name__}; "
            "BgeMicroDocumentEmbedder embeds Documents."
        )


def _with_embeddings(documents: list[Document], embeddings: list[list[float]]) -> list[Document]:
    return [
        replace(document, embedding=embedding)
        for document, embedding in zip(documents, embeddings, strict=True)
    ]
