"""Encoding from asyncio: the loop goes on while the core works."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

from bge_micro.signatures import like_aencode


class _Abandoned(Exception):
    """Nobody waits for the result any more."""


async def run_in_thread(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Run an encode method in the loop's default executor.

    Cancelled, it has the encoding end and waits for that (some 20 ms, or until the texts at hand
    are tokenized), so that nothing is written to `out` afterwards.
    """
    import asyncio  # here, because the package's import should not cost it

    abandoned, begun = threading.Event(), threading.Event()
    poll = options.pop("poll", None)

    def poll_both() -> None:
        if abandoned.is_set():
            raise _Abandoned
        if poll is not None:
            poll()

    def work() -> Any:
        begun.set()
        poll_both()
        return call(*args, poll=poll_both, **options)

    context = contextvars.copy_context()
    future = asyncio.get_running_loop().run_in_executor(None, context.run, work)
    # The loop complains of exceptions that nobody has looked at.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        abandoned.set()
        if begun.is_set():  # else it still waits for a thread, and will do nothing
            await asyncio.wait([future])
        raise


class AsyncEncodeMixin:
    """The encode methods for coroutines."""

    encode: Callable[..., Any]
    encode_query: Callable[..., Any]
    encode_document: Callable[..., Any]

    @like_aencode
    async def aencode(self, *args: Any, **options: Any) -> Any:
        """Encode texts without blocking the event loop; as `encode`, which runs in a thread.

        Cancelling it ends the encoding; it has ended when the cancellation comes out.
        """
        return await run_in_thread(self.encode, *args, **options)

    @like_aencode
    async def aencode_query(self, *args: Any, **options: Any) -> Any:
        """Encode search queries as `aencode` does; as `encode_query`."""
        return await run_in_thread(self.encode_query, *args, **options)

    @like_aencode
    async def aencode_document(self, *args: Any, **options: Any) -> Any:
        """Encode texts to be found as `aencode` does; as `encode_document`."""
        return await run_in_thread(self.encode_document, *args, **options)
