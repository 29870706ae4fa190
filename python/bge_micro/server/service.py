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
from bge_micro.server.errors import InputError, OtherTaskError, UnavailableError, UnknownModelError
from bge_micro.server.fields import Rows
from bge_micro.server.foreign_fields import ForeignFields
from bge_micro.server.held import HeldByClients
from bge_micro.server.jobs import Embedded, Job
from bge_micro.server.limits import Limits
from bge_micro.server.metrics import Metrics
from bge_micro.server.models import Embedder
from bge_micro.server.reranking import Scored, ServedReranker
from bge_micro.server.tokens import IdReader, write_tokens
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
        reranker: ServedReranker | None = None,
    ) -> None:
        """Prepare; the threads are not running yet.

        Args:
            model: The model.
            names: What it is called, at least one name.
            limits: What clients may ask for.
            auto_truncate: Whether texts with too many tokens are used up to the limit, where a
                request does not say; they are refused otherwise.
            reranker: What scores texts for a query; None to have no such routes.
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
        self._reranker = reranker
        self._embedder = Embedder(self.transformer)
        self._ids = IdReader(self.transformer)
        self.engine = Engine(limits, self._on_batch)
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
        ids = self._ids if rows.are_ids else None
        return await self._encode(Job(self._embedder, rows.rows, plan, truncate, ids), note)

    def reranker(self) -> ServedReranker:
        """Return the reranker.

        Raises:
            OtherTaskError: There is none.
        """
        if self._reranker is None:
            raise OtherTaskError(
                "model is not a re-ranker model: it embeds texts; bge-micro serve --reranker adds "
                "one"
            )
        return self._reranker

    @property
    def reranker_facts(self) -> dict[str, Any] | None:
        """What /info says of the reranker; None without one."""
        if self._reranker is None:
            return None
        return {
            "model_id": self._reranker.names[0],
            "model_dtype": self._reranker.compute_type,
            "max_input_length": self._reranker.max_input_length,
        }

    async def score(
        self, query: str, texts: Sequence[str], note: dict[str, Any], *, truncate: bool
    ) -> Scored:
        """Score texts for a query.

        Args:
            query: The query.
            texts: n texts.
            note: Takes numbers for the log.
            truncate: Whether to use pairs that are too long up to the limit.

        Raises:
            RequestError: A pair is too long, too many are waiting, or there is no reranker.
        """
        reranker = self.reranker()
        pairs = [(query, text) for text in texts]
        job = Job(reranker.rows, pairs, reranker.plan, truncate)
        done = await self._encode(job, note)
        return Scored(done.vectors[:, 0], done.tokens)

    async def _encode(self, job: Job, note: dict[str, Any]) -> Embedded:
        texts = note["texts"] = len(job.rows)
        done = await self.engine.encode(job)
        note["tokens"] = done.tokens
        if done.truncated:
            note["truncated"] = done.truncated
        self.metrics.count_embedded(texts, done.tokens, done.truncated)
        return done

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
