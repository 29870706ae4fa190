"""The plugin for `llm`: ``llm embed -m bge-micro-v2 -c "a text"``.

`llm` finds it by the package's entry point and imports it at every start, so nothing heavy is
imported before the first text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bge_micro.choices import ComputeType
from bge_micro.integrations.frameworks import needed
from bge_micro.integrations.held import HeldModel, check_many

with needed("llm", extra="llm"):
    import llm


class BgeMicro(llm.EmbeddingModel):
    """The model inside the package, as an embedding model of `llm`."""

    batch_size = 1024

    def __init__(self, model_id: str, compute_type: ComputeType) -> None:
        """Remember what to load."""
        self.model_id = model_id
        self._held = HeldModel(compute_type=compute_type)

    def embed_batch(
        self, items: Iterable[str | bytes], *, key: str | None = None
    ) -> Iterator[list[float]]:
        """Yield the vector of each text."""
        check_many(items)
        yield from self._held.documents(list(items)).tolist()  # type: ignore[arg-type]


@llm.hookimpl
def register_embedding_models(register: Callable[..., None]) -> None:
    """Register the model in both compute types."""
    register(BgeMicro("bge-micro-v2", "int8"), aliases=("bge-micro",))
    register(BgeMicro("bge-micro-v2-float32", "float32"))
