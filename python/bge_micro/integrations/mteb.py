"""An encoder for mteb 2, the benchmark of text embeddings: ``pip install 'bge-micro[quality]'``.

import mteb
from bge_micro.integrations.mteb import MtebEncoder

mteb.evaluate(MtebEncoder(), mteb.get_tasks(tasks=["STSBenchmark"]))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bge_micro.integrations.held import check_many
from bge_micro.model import SentenceTransformer

if TYPE_CHECKING:
    from bge_micro.option_types import Device


class MtebEncoder:
    """A model with mteb's interface for encoders (its ``EncoderProtocol``).

    The prompt is the first of these that the model has, as in mteb: the task's with the kind of
    text ("SciFact-query"), the task's ("SciFact"), the task type's with the kind of text
    ("Retrieval-query"), the task type's, that of the kind of text ("query"); else none.

    Attributes:
        model: The model.
    """

    def __init__(
        self,
        model: SentenceTransformer | str | None = None,
        revision: str | None = None,
        *,
        device: Device = None,
        **options: Any,
    ) -> None:
        """Use a loaded model, or load one.

        Args:
            model: A loaded model, or a name or folder; None for the bundled model.
            revision: As for `SentenceTransformer`, for names.
            device: None or "cpu".
            **options: Further keywords for `SentenceTransformer`.
        """
        if isinstance(model, SentenceTransformer):
            self.model = model
            self._name = "bge-micro/model"
        else:
            self._name = str(model or "TaylorAI/bge-micro-v2")
            self.model = SentenceTransformer(
                model or self._name, revision=revision, device=device, **options
            )

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **options: Any,
    ) -> NDArray[np.float32]:
        """Encode a task's texts.

        Args:
            inputs: Batches with lists of strings under "text".
            task_metadata: The task's metadata.
            hf_split: Not used.
            hf_subset: Not used.
            prompt_type: Whether the texts are queries or documents; None if neither.
            **options: Not used: batches are formed by tokens.

        Returns:
            float32 (texts, dimensions).
        """
        texts = []
        for batch in inputs:
            check_many(batch["text"])
            texts += batch["text"]
        vectors: NDArray[np.float32] = self.model.encode(
            texts, prompt=self._prompt(task_metadata, prompt_type)
        )
        return vectors

    def similarity(self, embeddings1: ArrayLike, embeddings2: ArrayLike) -> NDArray[np.float32]:
        """Compare every vector with every vector of the second set, by the model's function."""
        return self.model.similarity(
            np.atleast_2d(np.asarray(embeddings1)), np.atleast_2d(np.asarray(embeddings2))
        )

    def similarity_pairwise(
        self, embeddings1: ArrayLike, embeddings2: ArrayLike
    ) -> NDArray[np.float32]:
        """Compare the vectors of each row, by the model's function."""
        return self.model.similarity_pairwise(np.asarray(embeddings1), np.asarray(embeddings2))

    @cached_property
    def mteb_model_meta(self) -> Any:
        """The facts of the model for mteb."""
        from mteb.models import ModelMeta

        name = self._name.strip("/").replace("\\", "/")
        return ModelMeta.create_empty(
            {
                # mteb files results by organisation and name.
                "name": "/".join(name.split("/")[-2:]) if "/" in name else f"local/{name}",
                "revision": self.model.space_id,
                "embed_dim": self.model.get_embedding_dimension(),
                "max_tokens": self.model.max_seq_length,
                "similarity_fn_name": self.model.similarity_fn_name,
            }
        )

    def _prompt(self, task_metadata: Any, prompt_type: Any) -> str:
        kind = getattr(prompt_type, "value", prompt_type)
        names = [task_metadata.name, task_metadata.type]
        for name in [n for task in names for n in ((f"{task}-{kind}",) if kind else ()) + (task,)]:
            if self.model.prompts.get(name):
                return self.model.prompts[name]
        return self.model.prompts.get(kind, "") if kind else ""
