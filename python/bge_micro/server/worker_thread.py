"""A thread for calls of native code that may take long, or never end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class CallTimer:
    """Tells whether a thread is in a call that does not seem to end."""

    def __init__(self, stuck_seconds: float) -> None:
        """Call stuck what takes longer than this."""
        self._stuck_seconds = stuck_seconds
        self._start: float | None = None

    def __enter__(self) -> None:
        """Begin a call."""
        self._start = time.monotonic()

    def __exit__(self, *error: object) -> None:
        """End it."""
        self._start = None

    @property
    def stuck(self) -> bool:
        """Whether the call has taken too long."""
        start = self._start
        return start is not None and time.monotonic() - start > self._stuck_seconds


def call_in(
    loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object
) -> None:
    """Call a function in an event loop of another thread; after the loop's end nothing waits."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise


class WorkerThread:
    """Runs functions one after another. Its methods are for the event loop."""

    def __init__(self, name: str, stuck_seconds: float) -> None:
        """Prepare; `start` starts it."""
        self._timer = CallTimer(stuck_seconds)
        self._queue: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None]
        self._queue = SimpleQueue()
        self._waiting: set[asyncio.Future[Any]] = set()
        # A daemon, so that the process can end when a call does not.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    @property
    def name(self) -> str:
        """The thread's name."""
        return self._thread.name

    @property
    def stuck(self) -> bool:
        """Whether a call does not seem to end."""
        return self._timer.stuck

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let it end when it has nothing to do any more."""
        self._queue.put(None)

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function and return what it returns, or raise what it raises."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        self._queue.put((function, future))
        return await future

    def refuse_waiting(self, error: Exception) -> None:
        """Raise an exception from all calls of `run` that have not returned."""
        for future in list(self._waiting):
            _settle(future, None, error)

    def _work(self) -> None:
        while (call := self._queue.get()) is not None:
            function, future = call
            if future.done():
                continue
            result, error = None, None
            with self._timer:
                try:
                    result = function()
                except BaseException as raised:  # a panic in Rust, for one, is no Exception
                    error = raised
            call_in(future.get_loop(), _settle, future, result, error)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # cancelled, or refused
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
