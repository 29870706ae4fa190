"""`aencode`: the event loop runs on, and a cancelled encoding ends."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from patience import PATIENCE

LONG = ["many words of a long text that takes a while " * 40] * 400


def test_it_gives_what_encode_gives(model: SentenceTransformer, sentences: list[str]) -> None:
    async def run() -> None:
        results = await asyncio.gather(
            model.aencode(sentences, normalize_embeddings=True),
            model.aencode("one text"),
            model.aencode_query(sentences),
            model.aencode_document(sentences, precision="int8"),
        )
        expected = [
            model.encode(sentences, normalize_embeddings=True),
            model.encode("one text"),
            model.encode_query(sentences),
            model.encode_document(sentences, precision="int8"),
        ]
        for found, wanted in zip(results, expected, strict=True):
            assert found.tobytes() == wanted.tobytes()

    asyncio.run(run())


def test_errors_come_out(model: SentenceTransformer) -> None:
    with pytest.raises(TypeError, match="row 1 is int 3"):
        asyncio.run(model.aencode(["a", 3]))
    with pytest.raises(ValueError, match="precision is 'int4'"):
        asyncio.run(model.aencode(["a"], precision="int4"))


def test_the_loop_goes_on(model: SentenceTransformer) -> None:
    """In the midst of the work `poll` waits until the loop has done something else."""
    went_on = [False]

    async def run() -> None:
        begun, ticked = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def poll() -> None:
            loop.call_soon_threadsafe(begun.set)
            went_on[0] = ticked.wait(PATIENCE)

        work = asyncio.create_task(model.aencode(LONG[:40], threads=1, poll=poll))
        await begun.wait()
        ticked.set()
        await work

    asyncio.run(run())
    assert went_on[0]


def test_cancelled_it_has_ended(model: SentenceTransformer) -> None:
    """After the cancellation is raised, nothing more is written to `out`."""

    async def run() -> None:
        out = np.zeros((len(LONG), 384), np.float32)
        begun, cancelled = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def poll() -> None:
            loop.call_soon_threadsafe(begun.set)
            cancelled.wait(PATIENCE)

        work = asyncio.create_task(model.aencode(LONG, out=out, threads=1, poll=poll))
        await begun.wait()
        work.cancel()
        loop.call_soon(cancelled.set)
        with pytest.raises(asyncio.CancelledError):
            await work
        before = out.copy()
        assert not before[-1].any(), "it had ended by itself, which tells nothing"
        await asyncio.sleep(0.2)
        assert out.tobytes() == before.tobytes()

    asyncio.run(run())


def test_cancelled_before_it_began(model: SentenceTransformer) -> None:
    async def run() -> None:
        pool = concurrent.futures.ThreadPoolExecutor(1)
        asyncio.get_running_loop().set_default_executor(pool)
        free = threading.Event()
        pool.submit(free.wait)
        out = np.zeros((1, 384), np.float32)
        work = asyncio.create_task(model.aencode(["a"], out=out))
        await asyncio.sleep(0.05)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work  # although the only thread is busy
        free.set()
        await asyncio.to_thread(lambda: None)
        assert not out.any()

    asyncio.run(run())


def test_timeouts(model: SentenceTransformer) -> None:
    async def run() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(model.aencode(LONG, threads=1), 0.05)

    asyncio.run(run())


class Enough(Exception):
    """Raised by a test's poll."""


@pytest.mark.parametrize("output_value", ["sentence_embedding", "token_embeddings"])
def test_poll_ends_an_encoding(model: SentenceTransformer, output_value: str) -> None:
    polls = [0]

    def poll() -> None:
        polls[0] += 1
        if polls[0] == 4:
            raise Enough

    with pytest.raises(Enough):
        model.encode(LONG, threads=1, poll=poll, output_value=output_value)
    assert polls == [4]
    with pytest.raises(Enough):
        asyncio.run(model.aencode(["a"], poll=raise_enough))
    assert model.encode(["a"], poll=lambda: "a value says nothing").shape == (1, 384)


def raise_enough() -> None:
    raise Enough
