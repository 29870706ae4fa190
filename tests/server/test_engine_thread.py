"""The engine's threads: which requests run together, which wait, and what spoils which."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from bge_micro import Encoded, Plan, SentenceTransformer
from bge_micro.server.errors import InputError, InternalError

from .engines import LONG_BLANK, Gate, run, started


def test_what_came_meanwhile_runs_together(
    gate: Gate, model: SentenceTransformer, plan: Plan
) -> None:
    texts = [f"text {number}" for number in range(20)]

    async def work() -> None:
        with started(gate) as engine:
            first = asyncio.create_task(engine.embed(["first"], plan, truncate=False))
            await gate.until_busy()
            rest = [
                asyncio.create_task(engine.embed([text], plan, truncate=False)) for text in texts
            ]
            await asyncio.sleep(0)
            assert engine.waiting_texts == 21
            gate.open.set()
            await first
            vectors = np.concatenate([(await task).vectors for task in rest])
            expected = model.encode(texts, normalize_embeddings=True)
            assert vectors.tobytes() == expected.tobytes()
            assert engine.waiting_texts == 0

    run(work)
    assert gate.batches == [1, 20]


def test_a_short_text_is_answered_before_the_oldest_goes_on(
    gate: Gate, model: SentenceTransformer, plan: Plan
) -> None:
    texts = [f"{number} {'word ' * 299}" for number in range(4)]

    async def work() -> None:
        with started(gate) as engine:
            long = asyncio.create_task(engine.embed(texts, plan, truncate=False))
            await gate.until_busy()
            short = asyncio.create_task(
                engine.embed(["a short text" + LONG_BLANK], plan, truncate=False)
            )
            await asyncio.sleep(0)
            gate.open.set()
            await short
            assert (await long).vectors.tobytes() == model.run(texts, plan).vectors.tobytes()

    run(work)
    assert gate.tokens == [906, 5, 302]  # the oldest's last row is encoded after the short text


def test_plans_do_not_mix(gate: Gate, model: SentenceTransformer, plan: Plan) -> None:
    plans = [
        plan,
        model.plan(truncate_dim=8),
        model.plan(normalize_embeddings=True, prompt="find: "),
    ]

    async def work() -> None:
        with started(gate) as engine:
            gate.open.set()
            answers = await asyncio.gather(
                *(engine.embed(["a", "b"], plan, truncate=False) for plan in plans * 5)
            )
        for answer, plan in zip(answers, plans * 5, strict=True):
            expected = model.encode(
                ["a", "b"],
                normalize_embeddings=plan.normalize,
                truncate_dim=plan.dimensions,
                prompt=plan.prompt,
            )
            assert answer.vectors.tobytes() == expected.tobytes()

    run(work)


def test_a_small_request_does_not_wait_for_a_large_one(gate: Gate, plan: Plan) -> None:
    large = ["some words of a text " * 10] * 400
    done: list[str] = []

    async def work() -> None:
        with started(gate) as engine:

            async def ask(name: str, texts: list[str]) -> None:
                await engine.embed(texts, plan, truncate=False)
                done.append(name)

            first = asyncio.create_task(ask("large", large))
            await gate.until_busy()
            small = asyncio.create_task(ask("small", ["small" + LONG_BLANK]))
            await asyncio.sleep(0)
            gate.open.set()
            await asyncio.gather(first, small)

    run(work)
    assert done == ["small", "large"]
    assert gate.batches[0] < 100
    assert sum(gate.batches) == 401


def test_a_large_request_is_not_starved(gate: Gate, model: SentenceTransformer, plan: Plan) -> None:
    texts = [f"some words of text {number} " * 10 for number in range(300)]

    async def work() -> None:
        with started(gate) as engine:
            gate.open.set()
            large = asyncio.create_task(engine.embed(texts, plan, truncate=False))

            async def flood() -> None:
                while not large.done():
                    await engine.embed(["small"] * 50, plan, truncate=False)

            await asyncio.gather(*(flood() for _ in range(8)))
            vectors = (await large).vectors
        assert vectors.tobytes() == model.encode(texts, normalize_embeddings=True).tobytes()

    run(work)


def test_one_bad_request_spoils_no_other(gate: Gate, plan: Plan) -> None:
    async def work() -> None:
        with started(gate) as engine:
            gate.open.set()
            bad, good, long, fine = await asyncio.gather(
                engine.embed([[101, 7592, 102], [40_000]], plan, are_ids=True, truncate=False),
                engine.embed([[101, 7592, 102]], plan, are_ids=True, truncate=False),
                engine.embed(["a", "word " * 600], plan, truncate=False),
                engine.embed(["hello"], plan, truncate=False),
                return_exceptions=True,
            )
        assert isinstance(bad, InputError)
        assert "row 1 " in str(bad)
        assert isinstance(long, InputError)
        assert "row 1 has more than 512 tokens" in str(long)
        assert good.vectors.tobytes() == fine.vectors.tobytes()  # type: ignore[union-attr]

    run(work)


TEXTS_OF_MANY_TOKENS = {
    "english": "some words of a text " * 20,
    "chinese": "\u4e00\u4e8c\u4e09" * 100,
    "signs": "!?." * 200,
    "long": "word " * 3000,
}


@pytest.mark.parametrize("kind", TEXTS_OF_MANY_TOKENS)
def test_turns_are_of_so_many_tokens(
    gate: Gate, model: SentenceTransformer, plan: Plan, kind: str
) -> None:
    """Whatever the letters: beside any job a short text waits for some 1,000 tokens a turn."""
    large = [f"{number} {TEXTS_OF_MANY_TOKENS[kind]}" for number in range(60)]

    async def work() -> None:
        with started(gate) as engine:
            first = asyncio.create_task(engine.embed(large, plan, truncate=True))
            await gate.until_busy()
            small = asyncio.create_task(engine.embed(["small" + LONG_BLANK], plan, truncate=False))
            await asyncio.sleep(0)
            gate.open.set()
            await small
            assert not first.done()
            assert len(gate.batches) <= 3
            vectors = (await first).vectors
        assert vectors.tobytes() == model.run(large, plan).vectors.tobytes()

    run(work)
    assert max(gate.tokens) <= 1024
    assert sum(gate.batches) == 61
    assert len(gate.tokens) <= 2 + sum(gate.tokens) / 512


class Panic(BaseException):
    """As pyo3's PanicException, no Exception."""


def test_whatever_is_raised_fails_one_request_only(
    model: SentenceTransformer, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(model)
    tokenize, held = type(model._pipeline).tokenize, gate.model.run
    marked = model.run(["raise in run"], plan).token_counts[0]

    def panic_in_tokenizer(pipeline: object, texts: Sequence[str], plan: Plan) -> object:
        if "raise in tokenizer" in texts:
            raise Panic
        return tokenize(pipeline, texts, plan)  # type: ignore[arg-type]

    def panic_in_run(rows: Sequence[np.ndarray], plan: Plan) -> Encoded:
        if any(len(row) == marked + 7 for row in rows):
            raise SystemExit
        return held(rows, plan)

    monkeypatch.setattr(type(model._pipeline), "tokenize", panic_in_tokenizer)
    gate.model.run = panic_in_run  # type: ignore[method-assign, assignment]
    gate.open.set()

    async def work() -> None:
        with started(gate) as engine:
            texts = ["a", "raise in tokenizer", "b", "raise in run" + " x" * 7, "c"]
            for _ in range(3):
                answers = await asyncio.gather(
                    *(engine.embed([text], plan, truncate=False) for text in texts),
                    return_exceptions=True,
                )
                failed = [isinstance(answer, InternalError) for answer in answers]
                assert failed == [False, True, False, True, False]
                assert engine.alive

    run(work)
