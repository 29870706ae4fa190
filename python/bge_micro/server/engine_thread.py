"""The thread that encodes: whenever it is free it takes what has arrived, all of it together.

There is no timer: a request that comes alone starts at once, and those that come while the engine
is busy make up the next batch. The rows of a request do not depend on the others in the batch, not
even in their last bit.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from queue import SimpleQueue
from typing import Any, TypeAlias

import numpy as np

from bge_micro.plan import Plan
from bge_micro.server.errors import InternalError, RequestError, UnavailableError
from bge_micro.server.jobs import Embedded, Job
from bge_micro.server.logs import place_of
from bge_micro.server.models import Model
from bge_micro.server.native_thread import NativeThread, call_in
from bge_micro.server.tokens import IdReader

# Tokens of a turn, and how many of them the oldest request has if others wait: 20 to 45 ms on two
# cores. More would hardly be faster together.
_TURN_TOKENS = 1024
_OLDEST_TOKENS = 512
# If it has so many of them, and another request can be answered in this turn, the others' rows are
# encoded and answered before. So what has few tokens waits for one turn of the oldest at most.
_HEAVY_TOKENS = 256

# A job, and rows of it: texts, pairs of texts, lists of ids, or tokens.
Part: TypeAlias = tuple[Job, Sequence[Any]]

_log = logging.getLogger(__name__)


class EngineThread(NativeThread):
    """Encodes the rows of jobs. Its methods are for the event loop, which they never block."""

    def __init__(
        self,
        name: str,
        stuck_seconds: float,
        on_batch: Callable[[int], object],
        beside: EngineThread | None = None,
    ) -> None:
        """Prepare; `start` starts it.

        Args:
            name: The thread's name.
            stuck_seconds: When a turn seems not to end.
            on_batch: Called with the number of texts of each call of the core, in the thread.
            beside: While this one has rows, the core's thread pool is left to it: only one call of
                the core can have the pool.
        """
        super().__init__(name, stuck_seconds)
        self._on_batch = on_batch
        self._beside = beside
        self._waiting: set[Job] = set()  # for the event loop
        self._arrivals: SimpleQueue[Job | None] = SimpleQueue()  # None is the last
        self._arriving = threading.Lock()
        self._stopping = False
        self._jobs: list[Job] = []  # for the thread: the oldest first

    @property
    def busy(self) -> bool:
        """Whether somebody waits for rows; for any thread."""
        return bool(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether the thread accepts and encodes rows."""
        return self._thread.is_alive() and not self._stopping and not self.stuck

    def stop(self) -> None:
        """Let the thread end when it has finished what it has."""
        with self._arriving:
            self._stopping = True
            self._arrivals.put(None)

    def join(self) -> None:
        """Wait for its end, unless it is stuck."""
        while self._thread.is_alive() and not self.stuck:
            self._thread.join(1.0)

    def refuse_waiting(self, error: RequestError) -> None:
        """Raise an exception from all calls of `encode` that have not returned."""
        for job in self._waiting:
            job.refuse(error)

    async def encode(self, job: Job) -> Embedded:
        """Encode a job's rows.

        Raises:
            UnavailableError: The server is about to stop, or stuck.
            InputError: A row has too many tokens, or is no list of token ids.
        """
        with self._arriving:  # so that no job comes behind the last
            if self._stopping:
                raise UnavailableError("the server is about to stop")
            self._arrivals.put(job)
        self._waiting.add(job)
        try:
            return await job.answer
        finally:
            self._waiting.discard(job)

    def _work(self) -> None:
        while jobs := self._next_jobs():
            with self._timer:
                shares = self._take_turn(jobs)
            _hand_over([job for job in jobs if job.error])
            for share in shares:
                with self._timer:
                    self._encode_share(share)
                # Not all jobs: rows of a later share are taken already, but have no vectors yet.
                _hand_over([job for job, _ in share if job.error or not job.left])

    def _next_jobs(self) -> list[Job]:
        """Wait for work, and return all of it in the order of its turn; nothing means to end.

        The oldest request is first, so that it gets done; then come the smallest, so that a single
        text does not wait for somebody's thousands.
        """
        jobs = self._jobs = [job for job in self._jobs if not job.over]
        while not jobs or not self._arrivals.empty():
            job = self._arrivals.get()
            if job is None:
                self._arrivals.put(None)  # for the next time
                break
            if not job.over:
                jobs.append(job)
        return jobs[:1] + sorted(jobs[1:], key=lambda job: job.left)

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
        parts: dict[tuple[Model, Plan], list[Part]] = {}
        for job, rows in share:
            # Tokens have their prompt, so that rows of several prompts can go together.
            plan = job.plan._replace(prompt="") if job.plan.prompt else job.plan
            parts.setdefault((job.model, plan), []).append((job, rows))
        for (model, plan), group in parts.items():
            _run(group, partial(self._encode, model, plan))

    def _make_ready(self, jobs: list[Job], first: int) -> None:
        """Tokenize so many rows as will perhaps fill the turn."""
        texts: dict[tuple[Model, Plan], list[Part]] = {}
        room = _TURN_TOKENS
        for job in jobs:
            wanted = first if job is jobs[0] else room
            rows, size = job.to_tokenize(wanted)
            room -= min(size, wanted)
            if rows and job.ids:
                _run([(job, rows)], partial(_read_ids, job.ids))
            elif rows:
                texts.setdefault((job.model, job.plan), []).append((job, rows))
            if room <= 0:
                break
        for (model, plan), group in texts.items():
            _run(group, partial(_tokenize, model, plan))

    def _encode(self, model: Model, plan: Plan, group: list[Part]) -> None:
        ids = [row for _, rows in group for row in rows]
        if self._beside is not None and self._beside.busy:
            plan = plan._replace(threads=1)
        vectors = model.run(ids, plan)
        self._on_batch(len(ids))
        start = 0
        for job, rows in group:
            stop = start + len(rows)
            job.add_vectors(rows, vectors[start:stop])
            start = stop


def _read_ids(reader: IdReader, group: list[Part]) -> None:
    for job, rows in group:
        job.add_tokens(
            [reader.read(row, job.tokenized + number) for number, row in enumerate(rows)],
            np.zeros(len(rows), np.bool_),
        )


def _tokenize(model: Model, plan: Plan, group: list[Part]) -> None:
    batch = model.tokenize([row for _, rows in group for row in rows], plan)
    ids = [batch.ids[start:stop] for start, stop in pairwise(batch.offsets.tolist())]
    start = 0
    for job, rows in group:
        stop = start + len(rows)
        job.add_tokens(ids[start:stop], batch.truncated[start:stop])
        start = stop


def _hand_over(jobs: list[Job]) -> None:
    """Have the event loop deliver what became of jobs."""
    if jobs:
        call_in(jobs[0].answer.get_loop(), _deliver, jobs)


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
