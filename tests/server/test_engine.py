"""The engine as a whole: small requests beside large ones, the queue's limit, and its end."""

from __future__ import annotations

import asyncio

import pytest

from bge_micro import Plan, SentenceTransformer
from bge_micro.server.errors import OverloadedError, UnavailableError

from .engines import LONG_BLANK, Gate, run, started


def test_a_small_request_does_not_wait_for_a_turn_of_a_large_one(
    model: SentenceTransformer, plan: Plan
) -> None:
    gate = Gate(model, holds_from=300)
    small = {
        "text": ["a short text"],
        "texts": ["a text"] * 32,
        "ids": [[101, 7592, 102]],
    }

    async def work() -> None:
        with started(gate) as engine:
            large = asyncio.create_task(engine.embed(["word " * 400], plan, truncate=False))
            await gate.until_busy()
            for kind, rows in small.items():
                await engine.embed(rows, plan, are_ids=kind == "ids", truncate=False)
            assert not large.done()
            assert engine.waiting_texts == 1
            gate.open.set()
            vectors = (await large).vectors
        assert vectors.tobytes() == model.run(["word " * 400], plan).vectors.tobytes()

    run(work)


def test_small_requests_leave_the_thread_pool_to_large_ones(
    model: SentenceTransformer, plan: Plan
) -> None:
    gate = Gate(model, holds_from=300)
    plan = plan._replace(threads=2)

    async def work() -> None:
        with started(gate) as engine:
            await engine.embed(["before"], plan, truncate=False)
            large = asyncio.create_task(engine.embed(["word " * 400], plan, truncate=False))
            await gate.until_busy()
            await engine.embed(["beside"], plan, truncate=False)
            gate.open.set()
            await large
            await engine.embed(["after"], plan, truncate=False)

    run(work)
    assert gate.threads == [2, 2, 1, 2]


@pytest.mark.parametrize("rows", [["a" * 513], ["a"] * 33, ["a" * 20] * 30])
def test_what_is_not_small_takes_no_time_of_small_requests(
    model: SentenceTransformer, plan: Plan, rows: list[str]
) -> None:
    gate = Gate(model)

    async def work() -> None:
        with started(gate) as engine:
            first = asyncio.create_task(engine.embed(["first" + LONG_BLANK], plan, truncate=True))
            await gate.until_busy()
            second = asyncio.create_task(engine.embed(rows, plan, truncate=True))
            third = asyncio.create_task(engine.embed(["small"], plan, truncate=False))
            while len(gate.batches) < 2:
                await asyncio.sleep(0.001)
            gate.open.set()
            await asyncio.gather(first, second, third)

    run(work)
    # The small one began while the first was in the core; the other waited for that.
    assert gate.batches[:2] == [1, 1]
    assert gate.tokens[:2] == [3, 3]
    assert gate.batches[2:] == [len(rows)]


def test_a_loop_that_ends_before_its_answer_ends_no_thread(gate: Gate, plan: Plan) -> None:
    with started(gate) as engine:

        async def leave() -> None:
            late = asyncio.create_task(engine.embed(["too late"], plan, truncate=False))
            await gate.until_busy()
            assert not late.done()

        async def come() -> None:
            answer = await engine.embed(["in time"], plan, truncate=False)
            assert len(answer.vectors) == 1

        asyncio.run(leave())  # cancels the task, and closes the loop
        gate.open.set()
        run(come)


def test_a_full_queue_refuses(gate: Gate, plan: Plan) -> None:
    async def work() -> None:
        with started(gate, queue_texts=3) as engine:
            # Alone, a request is served whatever the queue's size.
            first = asyncio.create_task(engine.embed(["a"] * 2, plan, truncate=False))
            await gate.until_busy()
            second = asyncio.create_task(engine.embed(["b"], plan, truncate=False))
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError) as full:
                await engine.embed(["c"], plan, truncate=False)
            assert full.value.status == 429
            assert full.value.headers == {"Retry-After": "1"}
            gate.open.set()
            await asyncio.gather(first, second)
            await engine.embed(["c"] * 5, plan, truncate=False)

    run(work)


def test_what_is_cancelled_is_forgotten(gate: Gate, plan: Plan) -> None:
    async def work() -> None:
        with started(gate) as engine:
            first = asyncio.create_task(engine.embed(["a"], plan, truncate=False))
            await gate.until_busy()
            second = asyncio.create_task(engine.embed(["b"] * 7, plan, truncate=False))
            await asyncio.sleep(0)
            first.cancel()  # while it is in the engine
            second.cancel()  # while it waits
            await asyncio.gather(first, second, return_exceptions=True)
            gate.open.set()
            assert (await engine.embed(["c"], plan, truncate=False)).tokens == 3
            assert engine.waiting_texts == 0

    run(work)
    assert gate.batches == [1, 1]


def test_stopping_finishes_what_was_taken(gate: Gate, plan: Plan) -> None:
    async def work() -> None:
        with started(gate) as engine:
            taken = [
                asyncio.create_task(engine.embed([f"{n}"] * 3, plan, truncate=False))
                for n in range(10)
            ]
            await gate.until_busy()
            stopping = asyncio.create_task(asyncio.to_thread(engine.stop))
            while engine.alive:
                await asyncio.sleep(0.01)
            with pytest.raises(UnavailableError):
                await engine.embed(["late"], plan, truncate=False)
            gate.open.set()
            answers = await asyncio.gather(*taken)
            await stopping
        assert [answer.tokens for answer in answers] == [9] * 10

    run(work)


def test_a_call_that_does_not_end_is_noticed(gate: Gate, plan: Plan) -> None:
    async def work() -> None:
        with started(gate) as engine:
            first = asyncio.create_task(engine.embed(["a"], plan, truncate=False))
            await gate.until_busy()
            assert engine.alive
            for thread in engine.threads:
                thread._timer._stuck_seconds = 0.0
            while engine.alive:
                await asyncio.sleep(0.01)
            with pytest.raises(UnavailableError, match="stuck"):
                await engine.embed(["b"], plan, truncate=False)
            for thread in engine.threads:
                thread.refuse_waiting(UnavailableError("stuck"))
            with pytest.raises(UnavailableError):
                await first
            assert engine.waiting_texts == 0
            await asyncio.to_thread(engine.stop)  # which does not wait for it

    run(work)
