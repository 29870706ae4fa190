"""A text's bytes do not depend on the other texts, its place, the threads or the call."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import SentenceTransformer
from core.isas import assert_same_bits
from golden.make_digests import FORMS

Floats = NDArray[np.float32]

# Every fifth text of up to 64 tokens, texts on both sides of a chunk of 48 rows and of a block of
# 96, long ones, and short ones in many scripts.
MIXED_LINES = [*range(0, 63, 5), 72, 73, 74, 87, 88, 89, 133, 100, *range(180, 335, 9)]
SHORT_LINES = [*range(0, 40, 4), *range(254, 335, 8)]
LONG_LINES = (45, 46, 47, 72, 73, 74, 88, 89, 94, 95, 107, 133)


@pytest.fixture(scope="module")
def mixed(texts: list[str]) -> list[str]:
    """Return texts of many lengths, neither sorted by length nor in the file's order."""
    chosen = [texts[line] for line in MIXED_LINES]
    return [chosen[i] for i in np.random.default_rng(5).permutation(len(chosen))]


@pytest.fixture(scope="module")
def expected(model: SentenceTransformer, mixed: list[str]) -> Floats:
    """Return the vectors of the mixed texts, each encoded alone on one thread."""
    return np.stack([model.encode(text, threads=1) for text in mixed])


def in_batches(
    model: SentenceTransformer, texts: list[str], size: int, **options: Any
) -> NDArray[Any]:
    """Encode in one call for each batch of `size` texts."""
    starts = range(0, len(texts), size)
    return np.concatenate([model.encode(texts[i : i + size], **options) for i in starts])


@pytest.mark.parametrize(("size", "threads"), [(1, 3), (7, 1), (7, 2), (32, 2), (32, 3)])
def test_batch_sizes(
    model: SentenceTransformer, mixed: list[str], expected: Floats, size: int, threads: int
) -> None:
    assert_same_bits(in_batches(model, mixed, size, threads=threads), expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_all_at_once(
    model: SentenceTransformer, mixed: list[str], expected: Floats, threads: int
) -> None:
    assert_same_bits(model.encode(mixed, threads=threads), expected)


@pytest.mark.parametrize("threads", [1, 3])
def test_shuffled(
    model: SentenceTransformer, mixed: list[str], expected: Floats, threads: int
) -> None:
    order = np.random.default_rng(threads).permutation(len(mixed))
    vectors = model.encode([mixed[i] for i in order], threads=threads)
    assert_same_bits(vectors, expected[order])


def test_encode_iter(model: SentenceTransformer, mixed: list[str], expected: Floats) -> None:
    blocks = list(model.encode_iter(iter(mixed), batch_size=10))
    assert [len(block) for block in blocks[:-1]] == [10] * (len(blocks) - 1)
    assert_same_bits(np.concatenate(blocks), expected)


def test_python_threads_at_once(
    model: SentenceTransformer, mixed: list[str], expected: Floats
) -> None:
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(model.encode, mixed, threads=threads) for threads in (1, 2, 3)]
        for call in calls:
            assert_same_bits(call.result(), expected)


def test_duplicates(model: SentenceTransformer, mixed: list[str], expected: Floats) -> None:
    rows = [0, 3, 3, 3, 1, 0, *[5] * 20, 3]
    assert_same_bits(model.encode([mixed[row] for row in rows], threads=2), expected[rows])


def test_other_neighbours(
    model: SentenceTransformer, texts: list[str], mixed: list[str], expected: Floats
) -> None:
    for shift in (1, 50):
        changed = mixed.copy()
        changed[::2] = [texts[(7 * shift + line) % 240] for line in MIXED_LINES[::2]]
        assert_same_bits(model.encode(changed, threads=2)[1::2], expected[1::2])


@pytest.mark.parametrize("line", LONG_LINES)
def test_lone_text_on_several_threads(
    model: SentenceTransformer, texts: list[str], line: int
) -> None:
    alone = model.encode(texts[line], threads=1)
    tokens = model.encode(texts[line], threads=1, output_value="token_embeddings")
    for threads in (2, 3):
        assert_same_bits(model.encode(texts[line], threads=threads), alone)
    shared = model.encode(texts[line], threads=3, output_value="token_embeddings")
    assert_same_bits(shared, tokens)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form(model: SentenceTransformer, texts: list[str], form: dict[str, Any]) -> None:
    chosen = [texts[line] for line in SHORT_LINES]
    together = model.encode(chosen, threads=3, **form)
    for text, result in zip(chosen, together, strict=True):
        assert_same_bits(result, model.encode(text, threads=1, **form), repr(text))


def test_everything_at_once(model: SentenceTransformer, texts: list[str]) -> None:
    chosen = [texts[line] for line in SHORT_LINES]
    for text, result in zip(chosen, model.encode(chosen, output_value=None), strict=True):
        assert_same_bits(result["sentence_embedding"], model.encode(text))
        tokens = model.encode(text, output_value="token_embeddings")
        assert_same_bits(result["token_embeddings"], tokens)


@pytest.mark.slow
def test_all_texts_in_every_arrangement(model: SentenceTransformer, texts: list[str]) -> None:
    alone = np.stack([model.encode(text, threads=1) for text in texts])
    order = np.random.default_rng(11).permutation(len(texts))
    shuffled = [texts[i] for i in order]
    for threads in (1, 2, 3):
        for size in (1, 7, 32, len(texts)):
            what = f"{size} texts a batch, {threads} threads"
            assert_same_bits(in_batches(model, texts, size, threads=threads), alone, what)
        vectors = model.encode(shuffled, threads=threads)
        assert_same_bits(vectors, alone[order], f"shuffled, {threads} threads")
    tokens = model.encode(texts, threads=3, output_value="token_embeddings")
    for text, result in zip(texts, tokens, strict=True):
        single = model.encode(text, threads=1, output_value="token_embeddings")
        assert_same_bits(result, single, repr(text))
