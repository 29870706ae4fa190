"""Ray Data: ``dataset.map_batches(EmbedBatches, concurrency=4, num_cpus=2)``.

Each actor loads one model and uses as many threads as Ray gives it CPUs, so actors do not compete
for CPUs. The vectors have the same bits as those of one process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bge_micro.arrow import to_arrow
from bge_micro.integrations.frameworks import needed
from bge_micro.integrations.held import hold

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from bge_micro.option_types import HeldSettings

with needed("ray[data]", extra="ray"):
    import pyarrow
    import ray


class EmbedBatches:
    """A callable class for `map_batches`: adds a column of vectors to each batch."""

    def __init__(
        self,
        column: str = "text",
        output_column: str = "embedding",
        *,
        model_name_or_path: str = "bge-micro-v2",
        **settings: Unpack[HeldSettings],
    ) -> None:
        """Load the model, once per actor.

        Args:
            column: The column of texts.
            output_column: The column to write vectors to.
            model_name_or_path: As for `SentenceTransformer`.
            **settings: The other settings of `HeldModel`; threads are the actor's CPUs unless set.
        """
        self.column = column
        self.output_column = output_column
        settings.setdefault("threads", _actor_cpus())
        self._held = hold(model_name_or_path, **settings)
        _ = self._held.model

    def __call__(self, batch: Any) -> Any:
        """Embed a batch.

        Args:
            batch: A `pyarrow.Table` (``batch_format="pyarrow"``), which gets a column of fixed-size
                lists, or a dict of arrays (Ray's default), which gets an array (n, columns).

        Raises:
            TypeError: The batch is of another kind.
            ValueError: A text is missing; the message names the rows of the batch.
        """
        if isinstance(batch, pyarrow.Table):
            vectors = self._held.documents(batch.column(self.column))
            return batch.append_column(self.output_column, to_arrow(vectors))
        if isinstance(batch, dict):
            return {**batch, self.output_column: self._held.documents(batch[self.column])}
        raise TypeError(
            f"a batch is a {type(batch).__name__}; give map_batches batch_format='pyarrow' or "
            "'numpy'."
        )


def _actor_cpus() -> int | None:
    """Return the CPUs that Ray assigned to this actor; None outside of an actor."""
    if not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    if context.get_actor_id() is None:
        return None
    # A share of a CPU still needs a thread.
    return max(1, int(context.get_assigned_resources().get("CPU", 1)))
