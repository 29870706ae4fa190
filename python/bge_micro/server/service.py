"""What the handlers work with: the model, its thread, the limits and the counters together."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bge_micro import SentenceTransformer, __version__
from bge_micro.server.engine_thread import Embedded, EngineThread
from bge_micro.server.errors import InputError, UnknownModelError
from bge_micro.server.fields import Rows
from bge_micro.server.held import HeldByClients
from bge_micro.server.limits import Limits
from bge_micro.server.metrics import Metrics


@dataclass(frozen=True)
class ServedModel:
    """What clients are told of the model.

    Attributes:
        names: What it is called; the first is given back.
        space_id: The space of its vectors, of full length and normalised.
        pooling: How token embeddings become a vector.
        compute_type: "int8" or "float32".
        isa: The instruction set that runs.
        threads: The most threads that encode.
        created: When it was loaded, in seconds since 1970.
    """

    names: Sequence[str]
    space_id: str
    pooling: str
    compute_type: str
    isa: str
    threads: int
    created: int = field(default_factory=lambda: int(time.time()))


class Service:
    """One model and what serves it."""

    def __init__(
        self,
        model: SentenceTransformer,
        names: Sequence[str],
        limits: Limits,
        *,
        auto_truncate: bool = False,
    ) -> None:
        """Prepare; the engine's thread is not running yet.

        Args:
            model: The model.
            names: What it is called, at least one name.
            limits: What clients may ask for.
            auto_truncate: Whether texts with too many tokens are used up to the limit, where a
                request does not say; they are refused otherwise.
        """
        self.limits = limits
        self.held = HeldByClients(limits)
        self.auto_truncate = auto_truncate
        # A copy: what is set on the model later has no effect here.
        self.transformer = copy.copy(model)
        self.tokenizer = model.tokenizer
        self.model = ServedModel(
            tuple(names),
            model.space_id_of(normalize_embeddings=True),
            model.pooling,
            model.compute_type,
            model.isa,
            model.threads,
        )
        self.engine = EngineThread(self.transformer, limits.queue_texts, self._on_batch)
        facts = {
            "version": __version__,
            "model": self.model.names[0],
            "space_id": self.model.space_id,
            "isa": model.isa,
        }
        self.metrics = Metrics(lambda: self.engine.waiting_texts, facts)

    def check_name(self, name: str) -> None:
        """Raise an UnknownModelError unless the model is called so."""
        if name not in self.model.names:
            known = " or ".join(map(repr, self.model.names))
            raise UnknownModelError(
                f"this server has the model {known} only; bge-micro serve --model-name gives it "
                "further names",
                param="model",
            )

    @property
    def dimensions(self) -> int:
        """Length of the vectors where a request does not say."""
        return self.transformer.get_embedding_dimension()

    def prompt(self, name: str) -> str:
        """Return the prompt of a name, "" meaning the model's default.

        Raises:
            InputError: The model has no such prompt.
        """
        prompts = self.transformer.prompts
        wanted = name or self.transformer.default_prompt_name
        if wanted is None:
            return ""
        if wanted not in prompts:
            known = ", ".join(map(repr, prompts)) or "none"
            raise InputError(
                f"prompt_name: the model has no such prompt; it has {known}", param="prompt_name"
            )
        return prompts[wanted]

    async def embed(
        self,
        rows: Rows,
        note: dict[str, Any],
        *,
        prompt_name: str = "",
        dimensions: int | None = None,
        normalize: bool = True,
        truncate: bool | None = None,
    ) -> Embedded:
        """Encode a request's rows.

        Args:
            rows: Texts or token ids.
            note: Takes numbers for the log.
            prompt_name: Which prompt comes before each text; "" for the model's default. None
                comes before token ids.
            dimensions: Length to cut vectors to; None for the model's own.
            normalize: Whether to bring them to unit length.
            truncate: Whether to use long texts up to the limit; None for the server's setting.

        Raises:
            RequestError: The rows, or the prompt, cannot be used, or too many are waiting.
        """
        plan = self.transformer.plan(
            prompt="" if rows.are_ids else self.prompt(prompt_name),
            normalize_embeddings=normalize,
            truncate_dim=dimensions,
            truncation="silent",
        )
        if truncate is None:
            truncate = self.auto_truncate
        note["texts"] = len(rows.rows)
        embedded = await self.engine.embed(rows.rows, plan, are_ids=rows.are_ids, truncate=truncate)
        note["tokens"] = embedded.tokens
        if embedded.truncated:
            note["truncated"] = embedded.truncated
        self.metrics.count_embedded(len(rows.rows), embedded.tokens, embedded.truncated)
        return embedded

    def _on_batch(self, texts: int) -> None:
        self.metrics.count_batch(texts)
