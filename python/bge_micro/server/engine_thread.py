"""The thread that encodes: whenever it is free it takes what has arrived, all of it together.

There is no timer: a request that comes alone starts at once, and those that come while the engine
is busy make up the next batch. The rows of a request do not depend on the others in the batch, not
even in their last bit.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from bge_micro import SentenceTransformer
from bge_micro.plan import Plan
from bge_micro.server.errors import (
    TRY_AGAIN,
    InternalError,
    OverloadedError,
    RequestError,
    UnavailableError,
)
from bge_micro.server.jobs import Embedded, Job
from bge_micro.server.limits import Limits
from bge_micro.server.logs import place_of
from bge_micro.server.native_thread import NativeThread, call_in
from bge_micro.server.tokens import IdReader

# Tokens of a turn, and how many of them the oldest request has if others wait: 20 to 45 ms on two
# cores. More would hardly be faster together.
_TURN_TOKENS = 1024
_OLDEST_TOKENS = 512
# If it has so many of them, and another request can be answered in this turn, the others' rows are
# encoded and answered before. So a short text waits for one turn of the oldest at most.
_HEAVY_TOKENS = 256
# Of a full queue, this share is for requests of few texts.
_SMALL_TEXTS = 32
_SMALL_SHARE = 4

# A job, and rows of it: texts, lists of ids, or tokens.
Part: TypeAlias = tuple[Job, Sequence[Any]]

_log = logging.getLogger(__name__)


class EngineThread(NativeThread):
    """Encodes the rows of requests. Its methods are for the event loop, which they never block."""

    def __init__(
        self, model: SentenceTransformer, limits: Limits, on_batch: Callable[[int], object]
    ) -> None:
        """Prepare; `start` starts it.

        Args:
            model: The model, whose settings must stay.
            limits: How many texts may wait or be worked on, and when a turn seems not to end.
            on_batch: Called with the number of texts of each call of the core, in the thread.
        """
        super().__init__("bge-micro-engine", limits.stuck_seconds)
        self._model = model
        self._ids = IdReader(model)
        self._queue_texts = limits.queue_texts
        self._on_batch = on_batch
        self._arrival = threading.Condition()
        self._waiting: list[Job] = []
        self._texts = 0
        self._stopping = False

    @property
    def waiting_texts(self) -> int:
        """Texts that wait or are worked on."""
        return self._texts

    @property
    def alive(self) -> bool:
        """Whether the thread accepts and encodes rows."""
        return self._thread.is_alive() and not self._stopping and not self.stuck

    def stop(self) -> None:
        """Finish what has been taken, then end the thread, and wait for that unless it is stuck."""
        with self._arrival:
            self._stopping = True
            self._arrival.notify()
        while self._thread.is_alive() and not self.stuck:
            self._thread.join(1.0)

    def refuse_waiting(self, error: RequestError) -> None:
        """Raise an exception from all calls of `embed` that have not returned."""
        waiting = self._waiting.copy()
        self._forget(waiting)
        for job in waiting:
            job.error = error
            job.deliver()

    @contextmanager
    def room_for(self, texts: int) -> Iterator[None]:
        """Count texts as waiting while the block runs.

        Raises:
            OverloadedError: Too many texts are waiting already.
            UnavailableError: The server is about to stop, or stuck.
        """
        with self._arrival:
            self._admit(texts)
        try:
            yield
        finally:
            with self._arrival:
                self._texts -= texts

    async def embed(
        self, rows: Sequence[Any], plan: Plan, *, are_ids: bool = False, truncate: bool
    ) -> Embedded:
        """Encode rows.

        Args:
            rows: n texts, or lists of token ids.
            plan: How they become vectors; its truncation is "silent".
            are_ids: Whether they are token ids.
            truncate: Whether texts with too many tokens are used up to the limit.

        Raises:
            OverloadedError: Too many texts are waiting already.
            UnavailableError: The server is about to stop, or stuck.
            InputError: A row has too many tokens, or is no list of token ids.
        """
        loop = asyncio.get_running_loop()
        job = Job(rows, are_ids, plan, truncate, loop.create_future())
        with self._arrival:
            self._admit(len(rows))
            self._waiting.append(job)
            self._arrival.notify()
        try:
            return await job.answer
        except asyncio.CancelledError:
            self._forget([job])
            raise

    def _admit(self, texts: int) -> None:
        if not self.alive:
            raise UnavailableError("the server is about to stop, or its engine is stuck")
        # A lone request is served whatever its size, which has a limit of its own.
        most = self._queue_texts
        if texts > _SMALL_TEXTS:
            most -= most // _SMALL_SHARE
        if self._texts and self._texts + texts > most:
            raise OverloadedError(f"{self._texts} texts are waiting; try again", headers=TRY_AGAIN)
        self._texts += texts

    def _forget(self, jobs: Sequence[Job]) -> None:
        """Take jobs out of the queue, unless they are out already."""
        with self._arrival:
            for job in jobs:
                if job in self._waiting:
                    self._waiting.remove(job)
                    self._texts -= len(job.rows)

    def _work(self) -> None:
        while jobs := self._next_jobs():
            with self._timer:
                shares = self._take_turn(jobs)
            self._finish([job for job in jobs if job.error])
            for share in shares:
                with self._timer:
                    self._encode_share(share)
                # Not all jobs: rows of a later share are taken already, but have no vectors yet.
                self._finish([job for job, _ in share if job.error or not job.left])

    def _finish(self, jobs: list[Job]) -> None:
        if jobs:
            self._forget(jobs)
            call_in(jobs[0].answer.get_loop(), _deliver, jobs)

    def _next_jobs(self) -> list[Job]:
        """Wait for work, and return all of it in the order of its turn; nothing means to end.

        The oldest request is first, so that it gets done; then come the smallest, so that a single
        text does not wait for somebody's thousands.
        """
        with self._arrival:
            while not self._waiting and not self._stopping:
                self._arrival.wait()
            return self._waiting[:1] + sorted(self._waiting[1:], key=lambda job: job.left)

    def _take_turn(self, jobs: list[Job]) -> list[list[Part]]:
        """Take some rows of the jobs, those of the oldest for sure; what to encode one by one."""
        first = _TURN_TOKENS if len(jobs) == 1 else _OLDEST_TOKENS
        self._make_ready(jobs, first)
        oldest = jobs[0].take(first, at_least=1)
        size = sum(map(len, oldest))
        room = _TURN_TOKENS - size
        others: list[Part] = []
        for job in jobs[1:]:
            rows = job.take(room)
            if rows:
                room -= sum(map(len, rows))
                others.append((job, rows))
        share: list[Part] = [(jobs[0], oldest)] if oldest else []
        some_end = any(not job.left for job, _ in others)  # with the rows just taken
        return [others, share] if some_end and size >= _HEAVY_TOKENS else [share + others]

    def _encode_share(self, share: list[Part]) -> None:
        parts: dict[Plan, list[Part]] = {}
        for job, rows in share:
            # Tokens have their prompt, so that rows of several prompts can go together.
            plan = job.plan._replace(prompt="") if job.plan.prompt else job.plan
            parts.setdefault(plan, []).append((job, rows))
        for plan, group in parts.items():
            _run(group, partial(self._encode, plan))

    def _make_ready(self, jobs: list[Job], first: int) -> None:
        """Tokenize so many rows as will perhaps fill the turn."""
        texts: dict[Plan, list[Part]] = {}
        room = _TURN_TOKENS
        for job in jobs:
            wanted = first if job is jobs[0] else room
            rows, size = job.to_tokenize(wanted)
            room -= min(size, wanted)
            if rows and job.are_ids:
                _run([(job, rows)], self._read_ids)
            elif rows:
                texts.setdefault(job.plan, []).append((job, rows))
            if room <= 0:
                break
        for plan, group in texts.items():
            _run(group, partial(self._tokenize, plan))

    def _read_ids(self, group: list[Part]) -> None:
        for job, rows in group:
            job.add_tokens(
                [self._ids.read(row, job.tokenized + number) for number, row in enumerate(rows)],
                np.zeros(len(rows), np.bool_),
            )

    def _tokenize(self, plan: Plan, group: list[Part]) -> None:
        batch = self._model.token_ids([text for _, rows in group for text in rows], plan)
        ends = batch.offsets.tolist()
        ids = [batch.ids[start:stop] for start, stop in pairwise(ends)]
        start = 0
        for job, rows in group:
            stop = start + len(rows)
            job.add_tokens(ids[start:stop], batch.truncated[start:stop])
            start = stop

    def _encode(self, plan: Plan, group: list[Part]) -> None:
        ids = [row for _, rows in group for row in rows]
        vectors = self._model.run(ids, plan).vectors
        self._on_batch(len(ids))
        start = 0
        for job, rows in group:
            stop = start + len(rows)
            job.add_vectors(rows, vectors[start:stop])
            start = stop


def _deliver(jobs: list[Job]) -> None:
    for job in jobs:
        job.deliver()


def _run(group: list[Part], work: Callable[[list[Part]], object]) -> None:
    """Do some work for several jobs together; if it fails, for each alone, so that others go on.

    Nothing that goes wrong may end the thread: a panic in Rust, for one, is no Exception.
    """
    try:
        work(group)
    except RequestError as error:
        for job, _ in group:
            job.error = error
    except BaseException as error:
        if len(group) > 1:
            for part in group:
                _run([part], work)
            return
        _log.error("engine failed", extra={"fields": place_of(error)})
        group[0][0].error = InternalError("the engine failed; see the server's log")
