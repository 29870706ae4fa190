"""LlamaIndex: ``Settings.embed_model = BgeMicroEmbedding()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bge_micro.integrations.frameworks import needed
from bge_micro.integrations.held import HeldModel, hold

if TYPE_CHECKING:
    from bge_micro.option_types import HeldSettings

with needed("llama-index-core", extra="llama-index"):
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.bridge.pydantic import Field, PrivateAttr


class BgeMicroEmbedding(BaseEmbedding):
    """LlamaIndex's BaseEmbedding; async methods run in a thread, so the event loop goes on."""

    settings: dict[str, Any] = Field(
        default_factory=dict, description="The settings of HeldModel that are not defaults."
    )
    _held: HeldModel = PrivateAttr()

    def __init__(
        self,
        model_name: str = "bge-micro-v2",
        settings: HeldSettings | None = None,
        **options: Any,
    ) -> None:
        """Remember what to load.

        Args:
            model_name: As `SentenceTransformer`'s model_name_or_path.
            settings: The other settings of `HeldModel`.
            **options: The fields of BaseEmbedding, such as embed_batch_size and callback_manager.
        """
        held = hold(model_name, **(settings or {}))
        # LlamaIndex's default of 10 texts is for remote services; here threads would be idle.
        options = {"embed_batch_size": 1024, **options}
        super().__init__(
            model_name=held.model_name_or_path, settings=dict(settings or {}), **options
        )
        self._held = held

    @classmethod
    def class_name(cls) -> str:
        """Return the name in serialised objects."""
        return "BgeMicroEmbedding"

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._held.documents(texts).tolist()  # type: ignore[no-any-return]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._held.query(query).tolist()  # type: ignore[no-any-return]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return (await self._held.adocuments(texts)).tolist()  # type: ignore[no-any-return]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return (await self._held.aquery(query)).tolist()  # type: ignore[no-any-return]
