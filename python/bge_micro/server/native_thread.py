"""What the server's threads for native code have in common: a call there may never end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from bge_micro.server.errors import RequestError


def call_in(
    loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object
) -> None:
    """Call a function in an event loop of another thread; after the loop's end nothing waits."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise


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


class NativeThread:
    """A thread that makes calls of native code, one after another, each within `_timer`."""

    def __init__(self, name: str, stuck_seconds: float) -> None:
        """Prepare; `start` starts it."""
        self._timer = CallTimer(stuck_seconds)
        # A daemon, so that the process can end when a call, or the event loop, does not.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    @property
    def name(self) -> str:
        """The thread's name."""
        return self._thread.name

    @property
    def stuck(self) -> bool:
        """Whether the thread is in a call that does not seem to end."""
        return self._timer.stuck

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def refuse_waiting(self, error: RequestError) -> None:
        """Raise an exception from all calls that wait for the thread."""
        raise NotImplementedError

    def _work(self) -> None:
        """Do what there is to do, in the thread, until told to end."""
        raise NotImplementedError
