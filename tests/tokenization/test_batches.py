"""Many texts in batches, the next of them tokenized in another thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from bge_micro.batches import batches_of, tokenized
from bge_micro.tokenization import RaggedBatch

TEXTS = [f"text {row} " + "x" * 1000 for row in range(400)]


def batch_of(texts: list[str]) -> RaggedBatch:
    """One token per text: its number."""
    ids = np.array([int(text.split()[1]) for text in texts], np.int32)
    return RaggedBatch(ids, np.arange(len(texts) + 1), np.zeros(len(texts), np.bool_))


def rows_of(*, ahead: bool) -> list[int]:
    rows: list[int] = []
    with closing(tokenized(TEXTS, batch_of, ahead=ahead)) as batches:
        for batch in batches:
            rows += batch.ids.tolist()
    return rows


def test_batches_double_up_to_a_limit() -> None:
    sizes = [sum(map(len, batch)) for batch in batches_of(TEXTS * 3)]
    for size, wanted in zip(sizes, [1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 18], strict=False):
        assert wanted <= size < wanted + 1100
    assert [text for batch in batches_of(TEXTS) for text in batch] == TEXTS
    assert [len(batch) for batch in batches_of(["a"] * 9000)] == [4096, 4096, 808]
    assert list(batches_of([])) == []


@pytest.mark.parametrize("ahead", [False, True])
def test_all_rows_come_in_order(ahead: bool) -> None:
    assert rows_of(ahead=ahead) == list(range(400))


def test_the_next_batch_is_tokenized_meanwhile() -> None:
    begun = [threading.Event() for _ in batches_of(TEXTS)]
    assert len(begun) > 3
    numbers = iter(range(len(begun)))

    def tokenize(texts: list[str]) -> RaggedBatch:
        begun[next(numbers)].set()
        return batch_of(texts)

    with closing(tokenized(TEXTS, tokenize, ahead=True)) as batches:
        for number, _ in enumerate(batches):
            # Until then the iterator is not read.
            assert all(event.wait(30) for event in begun[: number + 2])
            assert not any(event.is_set() for event in begun[number + 2 :])


def test_one_batch_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThreadPoolExecutor, "submit", None)
    with closing(tokenized(TEXTS[:5], batch_of, ahead=True)) as batches:
        assert [batch.texts for batch in batches] == [5]


def test_without_threads_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert rows_of(ahead=True) == list(range(400))


@pytest.mark.parametrize("ahead", [False, True])
def test_an_error_comes_to_the_caller(ahead: bool) -> None:
    def tokenize(texts: list[str]) -> RaggedBatch:
        if "text 399" in texts[-1]:
            raise ValueError("no such text")
        return batch_of(texts)

    before = threading.active_count()
    with (
        pytest.raises(ValueError, match="no such text"),
        closing(tokenized(TEXTS, tokenize, ahead=ahead)) as batches,
    ):
        for _ in batches:
            pass
    assert threading.active_count() == before


def test_no_thread_stays_when_the_caller_stops() -> None:
    before = threading.active_count()
    with closing(tokenized(TEXTS, batch_of, ahead=True)) as batches:
        next(batches)
    assert threading.active_count() == before
