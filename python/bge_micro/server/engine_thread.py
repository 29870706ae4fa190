"""The thread that encodes: when it is free, it takes all requests that have arrived as one batch.

There is no timer: a single request starts at once, and requests that arrive while the engine is
busy become the next batch. A request's vectors do not depend on the others in the batch, not even
in their last bit.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro import SentenceTransformer
from bge_micro.plan import Plan
from bge_micro.server.errors import (
    TRY_AGAIN,
    InputError,
    InternalError,
    OverloadedError,
    RequestError,
    UnavailableError,
)
from bge_micro.server.logs import place_of
from bge_micro.server.tokens import check_ids

# Characters of a turn: some 4,000 tokens, which is more than a batch needs to be as fast as it
# gets, and takes some 0.2 s on two cores, for which a request may have to wait.
_TURN_CHARACTERS = 1 << 14
# A longer text counts as this many characters: more than are read of it.
_MOST_CHARACTERS = 1 << 12
# What a token id counts for.
_ID_CHARACTERS = 4

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Embedded:
    """The results of a request's rows.

    Attributes:
        vectors: float32, shape (n, dimensions).
        tokens: Tokens that were used, special tokens included.
        truncated: Texts that had more.
    """

    vectors: NDArray[np.float32]
    tokens: int
    truncated: int


@dataclass(eq=False)
class _Job:
    """A request's rows on their way. Only one thread at a time has it."""

    rows: Sequence[Any]
    are_ids: bool
    plan: Plan
    truncate: bool
    answer: asyncio.Future[Embedded]
    blocks: list[NDArray[np.float32]] = field(default_factory=list)
    done: int = 0
    tokens: int = 0
    truncated: int = 0
    error: RequestError | None = None

    @property
    def left(self) -> int:
        return len(self.rows) - self.done

    def part(self, room: int) -> tuple[slice, int]:
        """Return the next rows, as many as there is room for but at least one, and their size."""
        weight = _ID_CHARACTERS if self.are_ids else 1
        stop = self.done
        size = 0
        while stop < len(self.rows) and size < room:
            size += min(max(len(self.rows[stop]) * weight, 1), _MOST_CHARACTERS)
            stop += 1
        return slice(self.done, stop), size


class EngineThread:
    """Encodes the rows of requests. Its methods are for the event loop, which they never block."""

    def __init__(
        self, model: SentenceTransformer, queue_texts: int, on_batch: Callable[[int], object]
    ) -> None:
        """Prepare; `start` starts it.

        Args:
            model: The model, whose settings must stay.
            queue_texts: The most texts that wait or are worked on.
            on_batch: Called with the number of texts of each call of the core, in the thread.
        """
        self._model = model
        self._queue_texts = queue_texts
        self._on_batch = on_batch
        self._arrival = threading.Condition()
        self._waiting: list[_Job] = []
        self._texts = 0
        self._stopping = False
        # A daemon, so that a process whose event loop has died can end.
        self._thread = threading.Thread(target=self._work, name="bge-micro-engine", daemon=True)

    @property
    def waiting_texts(self) -> int:
        """Texts that wait or are worked on."""
        return self._texts

    @property
    def alive(self) -> bool:
        """Whether the thread accepts and encodes rows."""
        return self._thread.is_alive() and not self._stopping

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what has been taken, then end the thread, and wait for that."""
        with self._arrival:
            self._stopping = True
            self._arrival.notify()
        self._thread.join()

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
            UnavailableError: The server is about to stop.
            InputError: A row has too many tokens, or is no list of token ids.
        """
        loop = asyncio.get_running_loop()
        job = _Job(rows, are_ids, plan, truncate, loop.create_future())
        with self._arrival:
            if not self.alive:
                raise UnavailableError("the server is about to stop")
            # A lone request is served whatever its size, which has another limit.
            if self._texts and self._texts + len(rows) > self._queue_texts:
                raise OverloadedError(
                    f"{self._texts} texts are waiting; try again", headers=TRY_AGAIN
                )
            self._texts += len(rows)
            self._waiting.append(job)
            self._arrival.notify()
        return await job.answer

    def _work(self) -> None:
        while turn := self._next_turn():
            groups: dict[tuple[Plan, bool], list[tuple[_Job, slice]]] = {}
            for job, rows in turn:
                groups.setdefault((job.plan, job.are_ids), []).append((job, rows))
            for (plan, are_ids), parts in groups.items():
                try:
                    self._encode(plan, parts, are_ids=are_ids)
                except Exception as error:
                    _log.error("engine failed", extra={"fields": place_of(error)})
                    for job, _ in parts:
                        job.error = InternalError("the engine failed; see the server's log")
            self._finish([job for job, _ in turn])

    def _next_turn(self) -> list[tuple[_Job, slice]]:
        """Wait for work, and divide a turn among requests; an empty result means to end.

        The oldest request gets half of the turn, so that it is finished; the rest goes to the
        smallest ones, so that a single text does not wait for another client's thousands.
        """
        with self._arrival:
            while not self._drop_cancelled() and not self._stopping:
                self._arrival.wait()
            jobs = self._waiting[:1] + sorted(self._waiting[1:], key=lambda job: job.left)
        turn: list[tuple[_Job, slice]] = []
        room = _TURN_CHARACTERS
        for job in jobs:
            rows, size = job.part(room if turn or len(jobs) == 1 else room // 2)
            turn.append((job, rows))
            room -= size
            if room <= 0:
                break
        return turn

    def _drop_cancelled(self) -> list[_Job]:
        """Drop requests whose clients no longer wait, as when a shutdown takes too long."""
        for job in [job for job in self._waiting if job.answer.cancelled()]:
            self._waiting.remove(job)
            self._texts -= len(job.rows)
        return self._waiting

    def _encode(self, plan: Plan, parts: list[tuple[_Job, slice]], *, are_ids: bool) -> None:
        if are_ids:
            parts = [part for part in parts if self._check_ids(*part)]
            if not parts:
                return
        encoded = self._model.run([row for job, rows in parts for row in job.rows[rows]], plan)
        vectors, tokens, all_truncated = encoded.vectors, encoded.token_counts, encoded.truncated
        self._on_batch(len(tokens))
        start = 0
        for job, rows in parts:
            stop = start + rows.stop - rows.start
            truncated = all_truncated[start:stop]
            if truncated.any() and not job.truncate:
                row = rows.start + int(truncated.argmax())
                job.error = InputError(
                    f"row {row} has more than {plan.limit} tokens; split it, or use "
                    "its beginning: --auto-truncate, or truncate where a route has it"
                )
            job.blocks.append(vectors[start:stop])
            job.tokens += int(tokens[start:stop].sum())
            job.truncated += int(truncated.sum())
            job.done = rows.stop
            start = stop

    def _check_ids(self, job: _Job, rows: slice) -> bool:
        """Replace a job's rows by arrays; False, and an error for the job, if they are no ids."""
        try:
            arrays = [
                check_ids(self._model, row, rows.start + number)
                for number, row in enumerate(job.rows[rows])
            ]
        except InputError as error:
            job.error = error
            return False
        job.rows = [*job.rows[: rows.start], *arrays, *job.rows[rows.stop :]]
        return True

    def _finish(self, jobs: list[_Job]) -> None:
        """Hand over what is done, waking the event loop once for all."""
        finished = [job for job in jobs if job.error or not job.left]
        if not finished:
            return
        with self._arrival:
            gone = set(map(id, finished))
            self._waiting = [job for job in self._waiting if id(job) not in gone]
            self._texts -= sum(len(job.rows) for job in finished)
        loop = finished[0].answer.get_loop()
        loop.call_soon_threadsafe(_answer, finished)


def _answer(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.answer.done():  # cancelled: its client no longer waits
            continue
        if job.error:
            job.answer.set_exception(job.error)
        else:
            vectors = job.blocks[0] if len(job.blocks) == 1 else np.concatenate(job.blocks)
            job.answer.set_result(Embedded(vectors, job.tokens, job.truncated))
