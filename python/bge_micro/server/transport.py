"""Small tools of a connection: timers, and reading that waits until what was read is parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl


class Deadline:
    """A timer that can be started, once at a time, and cancelled."""

    def __init__(self, loop: asyncio.AbstractEventLoop, action: Callable[[], object]) -> None:
        """Do nothing before `start`."""
        self._loop = loop
        self._action = action
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """Act after so many seconds, or when an earlier start says."""
        if self._handle is None:
            self._handle = self._loop.call_later(seconds, self._act)

    def cancel(self) -> None:
        """Do not act."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _act(self) -> None:
        self._handle = None
        self._action()


class HeldBackFlow(FlowControl):
    """uvicorn's flow control, which reads nothing more while something read waits to be parsed.

    uvicorn reads on after each answer: a client that sends requests without waiting for answers
    would have the server store them all.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        """Read freely."""
        super().__init__(transport)
        self._held_back = False

    def hold_back(self, held_back: bool) -> None:
        """Say whether something waits."""
        if held_back == self._held_back:
            return
        self._held_back = held_back
        if held_back:
            self.pause_reading()
        else:
            self.resume_reading()

    def resume_reading(self) -> None:
        """Read on, unless something waits."""
        if not self._held_back:
            super().resume_reading()
