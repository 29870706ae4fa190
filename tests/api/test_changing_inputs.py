"""Inputs that another thread changes: the result is that of one moment, or there is an error."""

from __future__ import annotations

import collections
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from bge_micro.inputs import read_texts
from bge_micro.search import Index

# Rows that are told apart by their vectors, and enough of them for several batches.
MANY = [f"{'a b c d e f g h'[: 1 + row % 15]}" for row in range(3000)]
ROUNDS = 12


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> SentenceTransformer:
    return SentenceTransformer(tiny_folder, threads=2)


@pytest.fixture(scope="module")
def known(tiny: SentenceTransformer) -> set[bytes]:
    """Return the bytes of every vector that may come out."""
    return {vector.tobytes() for vector in tiny.encode(sorted(set(MANY)))}


class Rows:
    """A sequence that is no list, such as people write."""

    def __init__(self, rows: list[str]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> str:
        return self.rows[row]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)


@contextmanager
def changed_meanwhile(change: Callable[[], None]) -> Iterator[None]:
    """Change something over and over in another thread."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            change()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(before)


def refill(rows: Any) -> Callable[[], None]:
    """Clear a list and fill it again."""

    def change() -> None:
        rows.clear()
        rows.extend(MANY)

    return change


def shuffled(rows: Any) -> Callable[[], None]:
    """Move the elements of an array of objects."""

    def change() -> None:
        rows[:] = np.roll(rows, 1)

    return change


INPUTS: dict[str, Callable[[], tuple[Any, Callable[[], None]]]] = {
    "list": lambda: (given := list(MANY), refill(given)),
    "deque": lambda: (given := collections.deque(MANY), refill(given)),
    "sequence": lambda: (Rows(given := list(MANY)), refill(given)),
    "array of objects": lambda: (given := np.array(MANY, object), shuffled(given)),
}


@pytest.mark.parametrize("kind", list(INPUTS))
def test_every_row_is_written(tiny: SentenceTransformer, known: set[bytes], kind: str) -> None:
    given, change = INPUTS[kind]()
    refused = []
    with changed_meanwhile(change):
        for _ in range(ROUNDS):
            try:
                vectors = tiny.encode(given)
                tokens = tiny.encode(given, output_value="token_embeddings")
            except RuntimeError as error:
                refused.append(str(error))
                continue
            assert {vector.tobytes() for vector in vectors} <= known
            assert all(np.isfinite(rows).all() and len(rows) >= 2 for rows in tokens)
    # Only a deque raises an error when it changes during iteration.
    assert set(refused) <= ({"deque mutated during iteration"} if kind == "deque" else set())


def test_cleared_while_the_first_batch_runs(tiny: SentenceTransformer, known: set[bytes]) -> None:
    """The moment that lost 3,820 of 4,000 rows: when batches are made one after the other."""
    given = list(MANY)
    vectors = tiny.encode(given, poll=given.clear)
    assert given == []
    assert len(vectors) == len(MANY)
    assert {vector.tobytes() for vector in vectors} <= known
    tokens: Any = list(MANY)
    assert len(tiny.encode(tokens, output_value=None, poll=tokens.clear)) == len(MANY)


@pytest.mark.parametrize("length", [len(MANY), 0])
def test_cleared_while_it_is_written_elsewhere(tiny: SentenceTransformer, length: int) -> None:
    given = list(MANY[:length])
    out = np.full((length, 64), np.nan, np.float32)
    assert tiny.encode(given, out=out, poll=given.clear) is out
    assert np.isfinite(out).all()


def test_by_plan(tiny: SentenceTransformer, known: set[bytes]) -> None:
    plan = tiny.plan()
    given = list(MANY)
    assert len(tiny.run(given, plan, poll=given.clear).vectors) == len(MANY)
    ids = tiny.run(MANY, plan, token_embeddings=True).token_ids
    rows = [row.copy() for row in ids]

    def spoil() -> None:
        rows.clear()
        for row in ids:
            row[:] = 10**6  # no id of this model

    found = tiny.run(rows, plan, poll=spoil).vectors
    assert {vector.tobytes() for vector in found} <= known


def test_ids_that_change_after_the_check(tiny: SentenceTransformer) -> None:
    plan = tiny.plan()
    ids = np.array([2, 5, 6, 3], np.int64)
    expected = tiny.run([ids.copy()], plan).vectors.tobytes()

    def spoil() -> None:
        ids[:] = -1
        ids[:] = [2, 5, 6, 3]

    found = set()
    with changed_meanwhile(spoil):
        for _ in range(200):
            # A copy may be made while the ids are wrong; the core never sees unchecked ones.
            with contextlib.suppress(ValueError):
                found.add(tiny.run([ids], plan).vectors.tobytes())
    assert found == {expected}


def test_the_blocks_of_an_iterable(tiny: SentenceTransformer, known: set[bytes]) -> None:
    given = list(MANY)
    blocks = tiny.encode_iter(iter(given), 500)
    first = next(blocks)
    given.clear()
    rows = [*first, *(vector for block in blocks for vector in block)]
    assert {vector.tobytes() for vector in rows} <= known


def test_an_index_has_a_text_for_every_vector(tiny: SentenceTransformer) -> None:
    given = list(MANY)
    with changed_meanwhile(refill(given)):
        for _ in range(ROUNDS):
            index = Index(tiny)
            index.add(given)
            assert len(index.vectors) == len(index.texts)
            assert tiny.count_tokens(given).used.min(initial=2) >= 2
    polled = list(MANY)
    index.add(polled, poll=polled.clear)
    assert len(index.vectors) == len(index.texts)


def test_ranges_are_those_that_were_checked(tiny: SentenceTransformer) -> None:
    ranges = np.stack([np.full(64, -3, np.float32), np.full(64, 3, np.float32)])
    expected = tiny.encode(MANY, precision="int8", ranges=ranges)
    found = tiny.encode(MANY, precision="int8", ranges=ranges, poll=lambda: ranges.fill(np.nan))
    assert found.tobytes() == expected.tobytes()


def test_a_polars_column_that_grows(tiny: SentenceTransformer) -> None:
    polars = pytest.importorskip("polars", reason="pip install '.[test]'")
    series = polars.Series(MANY)
    rows = read_texts(series, "strict").rows
    series.append(polars.Series([None] * 10, dtype=polars.String))
    series[0] = None
    assert list(rows) == MANY
    vectors = tiny.encode(series, errors="replace")
    assert len(vectors) == len(MANY) + 10


def test_an_arrow_column_is_what_it_was(tiny: SentenceTransformer) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pip install '.[test]'")
    given = list(MANY)
    column = arrow.array(given)
    given.clear()
    assert tiny.encode(column).tobytes() == tiny.encode(MANY).tobytes()
