"""Whether the event loop goes on while an integration embeds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from bge_micro import SentenceTransformer
from patience import PATIENCE

Result = TypeVar("Result")


def run_beside_a_blocked_model(
    monkeypatch: pytest.MonkeyPatch, work: Callable[[], Coroutine[Any, Any, Result]]
) -> Result:
    """Run a coroutine whose `encode` waits until the event loop has done something else.

    If the coroutine blocked the loop, `encode` would wait for ever; it fails after a while.
    """
    loop_went_on = threading.Event()
    encode = SentenceTransformer.encode

    def waiting_encode(self: SentenceTransformer, *args: Any, **options: Any) -> Any:
        assert loop_went_on.wait(PATIENCE), "the event loop was blocked"
        return encode(self, *args, **options)

    async def both() -> Result:
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0.01)  # the coroutine starts
        loop_went_on.set()
        return await task

    monkeypatch.setattr(SentenceTransformer, "encode", waiting_encode)
    return asyncio.run(both())
