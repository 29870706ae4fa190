"""Chroma: ``client.create_collection("texts", embedding_function=BgeMicroEmbeddingFunction())``.

Importing this module registers the function, so that a saved collection finds it again.
"""

from __future__ import annotations

from typing import Any

from bge_micro.integrations.frameworks import needed
from bge_micro.integrations.held import HoldsModel, hold

with needed("chromadb", extra="chroma"):
    from chromadb.api.types import Documents, EmbeddingFunction, Embeddings, Space
    from chromadb.utils.embedding_functions import register_embedding_function


@register_embedding_function
class BgeMicroEmbeddingFunction(HoldsModel, EmbeddingFunction[Documents]):
    """Chroma's EmbeddingFunction for texts."""

    precisions = ("float32",)  # Chroma stores float32

    def __call__(self, input: Documents) -> Embeddings:
        """Embed the texts of a collection: one float32 array per text."""
        return list(self._held.documents(input))

    def embed_query(self, input: Documents) -> Embeddings:
        """Embed search queries: one float32 array per query."""
        return list(self._held.queries(input))

    @staticmethod
    def name() -> str:
        """Return the name under which Chroma knows this function."""
        return "bge_micro"

    def default_space(self) -> Space:
        """Return the default distance of collections."""
        return "cosine"

    def get_config(self) -> dict[str, Any]:
        """Return the settings, as Chroma saves them with a collection."""
        return self._held.settings()

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> BgeMicroEmbeddingFunction:
        """Make the function that `get_config` described."""
        return BgeMicroEmbeddingFunction(**config)

    @staticmethod
    def validate_config(config: dict[str, Any]) -> None:
        """Refuse settings that this version does not know: an UnknownOptionError names one."""
        hold(**config)

    def validate_config_update(
        self, old_config: dict[str, Any], new_config: dict[str, Any]
    ) -> None:
        """Refuse, with a ValueError, settings that would change the vectors of a collection."""
        old, new = (_decides_vectors(config) for config in (old_config, new_config))
        if old != new:
            raise ValueError(
                f"the collection's vectors were made with {old}; {new} would make others. "
                "Make a new collection, or keep these settings."
            )


def _decides_vectors(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that vectors depend on; a model folder may have moved."""
    free = {"model_name_or_path", "cache_folder", "threads", "truncation"}
    return {name: value for name, value in config.items() if name not in free}
