"""An engine without a server, whose calls of the core can be held."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

from bge_micro import Encoded, Plan, SentenceTransformer
from bge_micro.server.engine import Engine
from bge_micro.server.jobs import Embedded, Job
from bge_micro.server.limits import Limits
from bge_micro.server.models import Embedder
from bge_micro.server.tokens import IdReader

from .servers import PATIENCE

# Few tokens, but so many characters that the thread for large requests has it.
LONG_BLANK = " " * 1000


class Gate:
    """A model whose runs are recorded, and can be paused if they have so many tokens."""

    def __init__(self, model: SentenceTransformer, holds_from: int = 0) -> None:
        self.model = copy(model)
        self.batches: list[int] = []
        self.tokens: list[int] = []
        self.threads: list[int] = []
        self.entered = threading.Event()
        self.open = threading.Event()

        def held(rows: Sequence[str], plan: Plan) -> Encoded:
            self.batches.append(len(rows))
            self.tokens.append(sum(map(len, rows)))
            self.threads.append(plan.threads)
            if self.tokens[-1] >= holds_from:
                self.entered.set()
                assert self.open.wait(PATIENCE)
            return model.run(rows, plan)

        self.model.run = held  # type: ignore[method-assign, assignment]

    async def until_busy(self) -> None:
        await asyncio.to_thread(self.entered.wait, PATIENCE)


class EngineOf(Engine):
    """An engine for one model."""

    def __init__(self, model: SentenceTransformer, limits: Limits) -> None:
        super().__init__(limits, lambda texts: None)
        self._model = Embedder(model)
        self._ids = IdReader(model)

    async def embed(
        self, rows: Sequence[Any], plan: Plan, *, are_ids: bool = False, truncate: bool
    ) -> Embedded:
        ids = self._ids if are_ids else None
        return await self.encode(Job(self._model, rows, plan, truncate, ids))


@contextmanager
def started(gate: Gate, queue_texts: int = 10_000) -> Iterator[EngineOf]:
    limits = Limits(queue_texts=queue_texts, stuck_seconds=2 * PATIENCE)
    engine = EngineOf(gate.model, limits)
    engine.start()
    try:
        yield engine
    finally:
        gate.open.set()
        engine.stop()
        assert not engine.alive


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), PATIENCE))  # type: ignore[arg-type]
