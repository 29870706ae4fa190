"""What encodes: a thread for small requests, one for the others, and the limit of both together.

A text of 512 tokens takes 20 to 40 ms on two cores, and a call of the core cannot be divided. So
small requests do not wait for the turns of large ones: they have a thread of their own, to which
the system gives its share of the CPU. The vectors are the same, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bge_micro.server.engine_thread import EngineThread
from bge_micro.server.errors import TRY_AGAIN, OverloadedError, UnavailableError
from bge_micro.server.jobs import Embedded, Job, length_of
from bge_micro.server.limits import Limits

# What a small request has at most. A token is one character or more, so it has hardly more than so
# many tokens, and some 128 of them in English.
_SMALL_CHARACTERS = 512
# Of a full queue, this share is for requests of few texts.
_FEW_TEXTS = 32
_FEW_SHARE = 4


class Engine:
    """Encodes the rows of requests. Its methods are for the event loop, which they never block."""

    def __init__(self, limits: Limits, on_batch: Callable[[int], object]) -> None:
        """Prepare; `start` starts the threads.

        Args:
            limits: How many texts may wait or be worked on, and when a turn seems not to end.
            on_batch: Called with the number of texts of each call of the core, in a thread.
        """
        self._large = EngineThread("bge-micro-engine", limits.stuck_seconds, on_batch)
        self._small = EngineThread(
            "bge-micro-engine-small", limits.stuck_seconds, on_batch, beside=self._large
        )
        self._queue_texts = limits.queue_texts
        self._texts = 0

    @property
    def threads(self) -> Sequence[EngineThread]:
        """The threads."""
        return self._small, self._large

    @property
    def waiting_texts(self) -> int:
        """Texts that wait or are worked on."""
        return self._texts

    @property
    def alive(self) -> bool:
        """Whether rows are taken and encoded."""
        return self._small.alive and self._large.alive

    def start(self) -> None:
        """Start the threads."""
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Finish what has been taken, then end the threads, and wait for those not stuck."""
        for thread in self.threads:
            thread.stop()
        for thread in self.threads:
            thread.join()

    @contextmanager
    def room_for(self, texts: int) -> Iterator[None]:
        """Count texts as waiting while the block runs.

        Raises:
            OverloadedError: Too many texts are waiting already.
            UnavailableError: The server is about to stop, or stuck.
        """
        self._check_room(texts)
        self._texts += texts
        try:
            yield
        finally:
            self._texts -= texts

    async def encode(self, job: Job) -> Embedded:
        """Encode a job's rows.

        Raises:
            OverloadedError: Too many texts are waiting already.
            UnavailableError: The server is about to stop, or stuck.
            InputError: A row has too many tokens, or is no list of token ids.
        """
        rows = job.rows
        small = len(rows) <= _FEW_TEXTS and sum(map(length_of, rows)) <= _SMALL_CHARACTERS
        thread = self._small if small else self._large
        with self.room_for(len(rows)):
            return await thread.encode(job)

    def _check_room(self, texts: int) -> None:
        if not self.alive:
            raise UnavailableError("the server is about to stop, or its engine is stuck")
        # A lone request is served whatever its size, which has a limit of its own.
        most = self._queue_texts
        if texts > _FEW_TEXTS:
            most -= most // _FEW_SHARE
        if self._texts and self._texts + texts > most:
            raise OverloadedError(f"{self._texts} texts are waiting; try again", headers=TRY_AGAIN)
