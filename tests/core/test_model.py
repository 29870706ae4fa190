"""The core's Engine: close to the float64 reference, and the same bits however it is run."""

from __future__ import annotations

import functools
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

import reference
from bge_micro import _core
from core.isas import Floats, assert_same_bits
from core.models import Sizes, Text, encode, encode_tokens, make_model, random_tensors, random_texts
from patience import PATIENCE

COMPUTE_TYPES = ["float32", "int8"]
POOLINGS = ["mean", "cls", "max", "mean_sqrt_len_tokens"]
PRECISIONS = ["float32", "int8", "uint8", "binary", "ubinary"]
SIZES = [
    Sizes(layers=1, hidden=64, heads=1, intermediate=64),
    Sizes(layers=2, hidden=64, heads=4, intermediate=128),
    Sizes(layers=3, hidden=128, heads=4, intermediate=64),
    Sizes(layers=1, hidden=192, heads=4, intermediate=320),
    Sizes(layers=1, hidden=320, heads=20, intermediate=704),
    Sizes(layers=1, hidden=384, heads=12, intermediate=1536),
    Sizes(layers=1, hidden=768, heads=12, intermediate=3072),
]
LENGTHS = [2, 1, 17]
SMALL = SIZES[1]
# Every residue of 16, and both sides of what a chunk (48 rows) and a block (96 tokens) hold.
SMALL_LENGTHS = [*range(1, 18), 25, 31, 32, 33, 47, 48, 49, 50, 64, 95, 96, 97, 98, 130, 300]
LONE = 21  # from here on, one text is long enough for more than one thread


def sizes_id(sizes: Sizes) -> str:
    return f"{sizes.layers}x{sizes.hidden}x{sizes.heads}x{sizes.intermediate}"


@functools.cache
def scalar_one_by_one(compute_type: str) -> Floats:
    """Return the small model's vectors; every other way to run it must give the same."""
    model = make_model(SMALL, random_tensors(SMALL), compute_type, "scalar")
    texts = random_texts(SMALL, SMALL_LENGTHS)
    return np.concatenate([encode(model, SMALL, [text]) for text in texts])


@functools.cache
def scalar_tokens(sizes: Sizes, compute_type: str) -> Floats:
    model = make_model(sizes, random_tensors(sizes), compute_type, "scalar")
    return encode_tokens(model, sizes, random_texts(sizes, LENGTHS))


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=sizes_id)
def test_same_bits_whatever_the_sizes(isa: str, sizes: Sizes, compute_type: str) -> None:
    model = make_model(sizes, random_tensors(sizes), compute_type, isa)
    rows = encode_tokens(model, sizes, random_texts(sizes, LENGTHS), threads=2)
    assert_same_bits(rows, scalar_tokens(sizes, compute_type))


@pytest.mark.parametrize(
    ("sizes", "int8_weights"),
    [(sizes, i % 2 == 0) for i, sizes in enumerate(SIZES)] + [(SMALL, True)],
    ids=lambda value: sizes_id(value) if isinstance(value, Sizes) else f"int8 weights: {value}",
)
def test_float32_follows_the_reference(isa: str, sizes: Sizes, int8_weights: bool) -> None:
    tensors = random_tensors(sizes, int8=int8_weights)
    texts = random_texts(sizes, LENGTHS)
    rows = encode_tokens(make_model(sizes, tensors, "float32", isa), sizes, texts)
    expected = [reference.encode(tensors, text.tolist(), sizes).token_embeddings for text in texts]
    for row, exact in zip(rows, np.concatenate(expected), strict=True):
        assert np.linalg.norm(row - exact) <= 1e-5 * np.linalg.norm(exact)


@pytest.mark.parametrize("sizes", SIZES, ids=sizes_id)
def test_int8_follows_the_reference(isa: str, sizes: Sizes) -> None:
    tensors = random_tensors(sizes)
    texts = random_texts(sizes, LENGTHS)
    vectors = encode(make_model(sizes, tensors, "int8", isa), sizes, texts)
    for vector, text in zip(vectors.astype(np.float64), texts, strict=True):
        exact = reference.encode(tensors, text.tolist(), sizes).vector
        assert vector @ exact >= 0.999 * np.linalg.norm(vector) * np.linalg.norm(exact)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_follows_the_reference(isa: str, pooling: str) -> None:
    tensors = random_tensors(SMALL)
    texts = random_texts(SMALL, LENGTHS)
    vectors = encode(make_model(SMALL, tensors, "float32", isa), SMALL, texts, pooling=pooling)
    for vector, text in zip(vectors, texts, strict=True):
        exact = reference.encode(tensors, text.tolist(), SMALL, pooling).vector
        assert np.linalg.norm(vector - exact) <= 1e-5 * np.linalg.norm(exact)


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_same_bits_in_any_batch_and_order(isa: str, compute_type: str) -> None:
    expected = scalar_one_by_one(compute_type)
    model = make_model(SMALL, random_tensors(SMALL), compute_type, isa)
    texts = random_texts(SMALL, SMALL_LENGTHS)
    assert_same_bits(encode(model, SMALL, texts), expected, "all at once")
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = encode(model, SMALL, [texts[i] for i in order], threads=2)
    assert_same_bits(shuffled, expected[order], "shuffled")
    for batch in (1, 7):
        parts = [texts[i : i + batch] for i in range(0, len(texts), batch)]
        vectors = np.concatenate([encode(model, SMALL, part) for part in parts])
        assert_same_bits(vectors, expected, f"in batches of {batch}")


@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_same_bits_on_any_number_of_threads(isa: str, compute_type: str, threads: int) -> None:
    expected = scalar_one_by_one(compute_type)
    model = make_model(SMALL, random_tensors(SMALL), compute_type, isa)
    texts = random_texts(SMALL, SMALL_LENGTHS)
    assert_same_bits(encode(model, SMALL, texts, threads=threads), expected, "all at once")
    for i in range(LONE, len(texts)):  # a lone text is shared by all threads
        alone = encode(model, SMALL, [texts[i]], threads=threads)
        assert_same_bits(alone, expected[i : i + 1], f"alone, {len(texts[i])} tokens")


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_same_bits_of_token_embeddings(isa: str, compute_type: str) -> None:
    tensors = random_tensors(SMALL)
    texts = random_texts(SMALL, [*LENGTHS, 49, 97, 130])
    expected = encode_tokens(make_model(SMALL, tensors, compute_type, "scalar"), SMALL, texts)
    model = make_model(SMALL, tensors, compute_type, isa)
    for threads in (1, 3):
        assert_same_bits(encode_tokens(model, SMALL, texts, threads), expected)
    alone = [encode_tokens(model, SMALL, [text]) for text in texts]
    assert_same_bits(np.concatenate(alone), expected)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_vectors_and_token_embeddings_of_one_pass(
    isa: str, compute_type: str, threads: int
) -> None:
    """One call that asks for both gives the bits of two calls that ask for one each."""
    texts = random_texts(SMALL, [*LENGTHS, 49, 97, 130])
    model = make_model(SMALL, random_tensors(SMALL), compute_type, isa)
    tokens = encode_tokens(model, SMALL, texts)
    for options in (
        {},
        {"pooling": "max", "dimensions": 24, "normalize": True, "skip": 2},
        {"pooling": "cls", "precision": "ubinary"},
    ):
        expected = encode(model, SMALL, texts, **options)
        rows = np.full_like(tokens, np.nan)
        together = encode(model, SMALL, texts, threads=threads, token_embeddings=rows, **options)
        assert_same_bits(together, expected, f"vectors, {options}")
        assert_same_bits(rows, tokens, f"token embeddings, {options}")


def tokens_of_each(model: _core.Engine, texts: list[Text]) -> list[Floats]:
    """Return the token embeddings of each text."""
    ends = np.cumsum([len(text) for text in texts])[:-1]
    return np.split(encode_tokens(model, SMALL, texts), ends)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dimensions", [64, 50, 9])
@pytest.mark.parametrize("normalize", [False, True])
def test_vectors_are_the_finished_token_embeddings(
    isa: str, precision: str, dimensions: int, normalize: bool
) -> None:
    texts = random_texts(SMALL, LENGTHS)
    model = make_model(SMALL, random_tensors(SMALL), "int8", isa)
    embeddings = tokens_of_each(model, texts)
    for pooling in POOLINGS:
        expected: list[NDArray[np.uint8]] = []
        vectors = encode(
            model,
            SMALL,
            texts,
            pooling=pooling,
            dimensions=dimensions,
            normalize=normalize,
            precision=precision,
            threads=2,
        )
        for rows in embeddings:
            row_bytes = vectors.shape[1] * vectors.itemsize
            expected.append(
                _core.kernels.pool(
                    "scalar", rows, pooling, dimensions, normalize, precision, row_bytes
                )
            )
        assert_same_bits(vectors.view(np.uint8), np.stack(expected), pooling)


@pytest.mark.parametrize("skip", [1, 5, 1000])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_skipped_tokens_are_not_pooled(isa: str, pooling: str, skip: int) -> None:
    """The last token is always pooled, so that every text has a vector."""
    model = make_model(SMALL, random_tensors(SMALL), "int8", isa)
    texts = random_texts(SMALL, LENGTHS)
    expected = [
        _core.kernels.pool(
            "scalar",
            np.ascontiguousarray(rows[min(skip, len(rows) - 1) :]),
            *(pooling, SMALL.hidden, False, "float32", 4 * SMALL.hidden),
        )
        for rows in tokens_of_each(model, texts)
    ]
    vectors = encode(model, SMALL, texts, pooling=pooling, skip=skip)
    assert_same_bits(vectors.view(np.uint8), np.stack(expected))


def test_many_callers_at_once() -> None:
    texts = random_texts(SMALL, [*LENGTHS, 300])
    model = make_model(SMALL, random_tensors(SMALL), "int8")
    expected = encode(model, SMALL, texts)

    def call(threads: int) -> None:
        for _ in range(8):
            assert_same_bits(encode(model, SMALL, texts, threads=threads), expected)

    with ThreadPoolExecutor(6) as callers:
        for finished in [callers.submit(call, threads) for threads in (1, 2, 3) * 2]:
            finished.result()


def others_seconds() -> float:
    """Return the CPU time of all threads but this one."""
    return time.process_time() - time.thread_time()


def test_workers_keep_helping_after_many_short_texts() -> None:
    """After a very short job the pool must not believe that its workers are still awake."""
    model = make_model(SMALL, random_tensors(SMALL), "float32", "scalar")
    short = random_texts(SMALL, [3] * 50)
    long = random_texts(SMALL, [64] * 8)
    for _ in range(10):
        for i, text in enumerate(short):  # idle for about the workers' spin time, more or less
            encode(model, SMALL, [text], threads=3)
            end = time.perf_counter() + i * 3e-6
            while time.perf_counter() < end:
                pass
        start = others_seconds()
        end = time.monotonic() + PATIENCE
        while others_seconds() - start < 0.02:  # a worker may start late, but not for ever
            assert time.monotonic() < end, "nobody helped the caller"
            encode(model, SMALL, long, threads=3)


def test_brief_work_does_not_wake_workers_that_have_slept_long() -> None:
    model = make_model(SMALL, random_tensors(SMALL), "float32", "scalar")
    brief, long = random_texts(SMALL, [100]), random_texts(SMALL, [64] * 4)

    def wait_until_workers_sleep() -> None:
        end = time.monotonic() + PATIENCE
        busy = True
        while busy:
            assert time.monotonic() < end
            start = others_seconds()
            time.sleep(0.02)
            busy = others_seconds() - start > 1e-4

    for _ in range(5):
        encode(model, SMALL, long, threads=2)  # the workers are there, and awake
        wait_until_workers_sleep()
        start = others_seconds()
        encode(model, SMALL, brief, threads=2)
        assert others_seconds() - start < 1e-3


def test_the_tensors_may_go_once_the_model_is_made() -> None:
    tensors = random_tensors(SMALL)
    texts = random_texts(SMALL, LENGTHS)
    expected = encode(make_model(SMALL, tensors, "int8"), SMALL, texts)
    copies = {name: tensor.copy() for name, tensor in tensors.items()}
    model = make_model(SMALL, copies, "int8")
    for name, tensor in copies.items():
        if not name.startswith("embeddings."):  # tables are read where they are, the rest is packed
            tensor[...] = 1
    copies.clear()
    assert_same_bits(encode(model, SMALL, texts), expected)


@pytest.mark.parametrize("threads", [-1, 0])
def test_fewer_threads_than_one_are_one(threads: int) -> None:
    texts = random_texts(SMALL, LENGTHS)
    model = make_model(SMALL, random_tensors(SMALL), "int8")
    assert_same_bits(encode(model, SMALL, texts, threads=threads), encode(model, SMALL, texts))


def test_an_empty_batch() -> None:
    model = make_model(SMALL, random_tensors(SMALL), "int8")
    assert encode(model, SMALL, []).shape == (0, 64)
    assert encode_tokens(model, SMALL, [], threads=3).shape == (0, 64)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer signals")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_signal_ends_a_long_encode(threads: int) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    texts = random_texts(SMALL, [512] * 1000)  # half a minute of CPU time
    model = make_model(SMALL, random_tensors(SMALL), "float32", "scalar")
    expected = encode(model, SMALL, texts[:1])
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        start = time.process_time()
        with pytest.raises(Interrupted):
            encode(model, SMALL, texts, threads=threads)
        assert time.process_time() - start < 5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert_same_bits(encode(model, SMALL, texts[:1], threads=threads), expected)
