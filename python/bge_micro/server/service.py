"""What the handlers work with: the model, its thread, the limits and the counters together."""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bge_micro import SentenceTransformer, __version__
from bge_micro.server.engine import Engine
from bge_micro.server.errors import InputError, UnavailableError, UnknownModelError
from bge_micro.server.fields import Rows
from bge_micro.server.foreign_fields import ForeignFields
from bge_micro.server.held import HeldByClients
from bge_micro.server.jobs import Embedded
from bge_micro.server.limits import Limits
from bge_micro.server.metrics import Metrics
from bge_micro.server.tokens import write_tokens
from bge_micro.server.worker_thread import WorkerThread

# Texts that /tokenize writes in one go.
_TOKENIZED_TEXTS = 32

# The tag of a model's newest version in Ollama, which adds it to names that have none.
LATEST = ":latest"

_log = logging.getLogger(__name__)


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
        self.foreign_fields = ForeignFields(any(model.prompts.values()))
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
        self.engine = Engine(self.transformer, limits, self._on_batch)
        self._tokens_thread = WorkerThread("bge-micro-tokens", limits.stuck_seconds)
        facts = {
            "version": __version__,
            "model": self.model.names[0],
            "space_id": self.model.space_id,
            "isa": model.isa,
        }
        self.metrics = Metrics(lambda: self.engine.waiting_texts, facts)

    @property
    def alive(self) -> bool:
        """Whether texts are taken and encoded."""
        return self.engine.alive and not self._tokens_thread.stuck

    def start(self) -> None:
        """Start the threads."""
        self.engine.start()
        self._tokens_thread.start()

    def stop(self) -> None:
        """Finish what has been taken, and end the threads, unless they are stuck."""
        self._tokens_thread.stop()
        self.engine.stop()

    async def watch(self) -> None:
        """Refuse, for as long as this runs, what waits for a thread that is stuck."""
        while True:
            await asyncio.sleep(min(1.0, self.limits.stuck_seconds))
            for thread in (*self.engine.threads, self._tokens_thread):
                if thread.stuck:
                    _log.error("stuck", extra={"fields": {"thread": thread.name}})
                    thread.refuse_waiting(UnavailableError("a call in the server does not end"))

    def check_name(self, name: str) -> None:
        """Raise an UnknownModelError unless the model is called so, with Ollama's tag or not."""
        if name not in self.model.names and name.removesuffix(LATEST) not in self.model.names:
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

    async def tokenize(self, texts: Sequence[str], *, special: bool) -> bytes:
        """Return the tokens of texts, uncut, as the JSON of TEI.

        Raises:
            RequestError: Too many texts are waiting.
        """
        lists: list[bytes] = []
        with self.engine.room_for(len(texts)):
            # In parts, between which others have their turn, and this ends if its client leaves.
            for part in range(0, len(texts), _TOKENIZED_TEXTS):
                write = partial(
                    write_tokens,
                    self.tokenizer,
                    texts[part : part + _TOKENIZED_TEXTS],
                    special=special,
                )
                lists += await self._tokens_thread.run(write)
        return b"[%b]" % b",".join(lists)

    def _on_batch(self, texts: int) -> None:
        self.metrics.count_batch(texts)
