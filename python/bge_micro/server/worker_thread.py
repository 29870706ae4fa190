"""A thread that runs functions, for calls of native code that may take long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from bge_micro.server.errors import RequestError
from bge_micro.server.native_thread import NativeThread, call_in

T = TypeVar("T")


class WorkerThread(NativeThread):
    """Runs functions one after another. Its methods are for the event loop."""

    def __init__(self, name: str, stuck_seconds: float) -> None:
        """Prepare; `start` starts it."""
        super().__init__(name, stuck_seconds)
        self._queue: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None]
        self._queue = SimpleQueue()
        self._waiting: set[asyncio.Future[Any]] = set()

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

    def refuse_waiting(self, error: RequestError) -> None:
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
