"""One object, 32 threads, random work: results as from one thread alone, and no deadlock."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from api.tiny_model import write_tiny_model
from bge_micro import SentenceTransformer

THREADS = 32
# Calls of each thread. The model is tiny: what is tested is who works when, not the arithmetic.
CALLS = int(os.environ.get("BGE_MICRO_TEST_CALLS", "12"))
LETTERS = "abcdefgh.,"


@pytest.fixture(scope="module", params=["int8", "float32"])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> SentenceTransformer:
    folder = write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    return SentenceTransformer(folder, compute_type=request.param, threads=2)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = random.Random(5)
    return [" ".join(rng.choices(LETTERS, k=rng.randrange(40))) for _ in range(300)]


def in_threads(work: Callable[[random.Random], None]) -> None:
    """Run the work in 32 threads that begin together; raise what one of them raises."""
    start = threading.Barrier(THREADS)

    def run(seed: int) -> None:
        start.wait(timeout=300)
        work(random.Random(seed))

    with ThreadPoolExecutor(THREADS) as executor:
        for future in [executor.submit(run, seed) for seed in range(THREADS)]:
            future.result(timeout=600)


def test_random_work(model: SentenceTransformer, texts: list[str]) -> None:
    forms: list[dict[str, Any]] = [
        {},
        {"normalize_embeddings": True, "truncate_dim": 24},
        {"precision": "int8"},
        {"precision": "ubinary"},
    ]
    expected = [model.encode(texts, threads=1, **form) for form in forms]
    tokens = model.encode(texts, threads=1, output_value="token_embeddings")
    counts = model.count_tokens(texts).used

    def work(rng: random.Random) -> None:
        for _ in range(CALLS):
            rows = rng.choices(range(len(texts)), k=rng.choice([1, 2, 30, 300]))
            chosen = [texts[row] for row in rows]
            threads = rng.choice([1, 2, 3, 8])
            action = rng.randrange(8)
            if action == 0:
                model.trim()
            elif action == 1:
                assert model.count_tokens(chosen).used.tolist() == counts[rows].tolist()
            elif action == 2:
                found = model.encode(chosen, threads=threads, output_value="token_embeddings")
                assert [a.tobytes() for a in found] == [tokens[row].tobytes() for row in rows]
            else:
                form = rng.randrange(len(forms))
                vectors = model.encode(chosen, threads=threads, **forms[form])
                assert vectors.tobytes() == expected[form][rows].tobytes()
            if rng.random() < 0.1:
                time.sleep(0.003)  # long enough for the pool's workers to doze off

    in_threads(work)
    model.trim()
    assert model.memory_usage().workspaces == 0


def test_models_come_and_go(model: SentenceTransformer, texts: list[str], tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    expected = model.encode(texts[:40], threads=1).tobytes()

    def work(rng: random.Random) -> None:
        for _ in range(2):
            own = SentenceTransformer(folder, compute_type=model.compute_type)
            assert own.encode(texts[:40], threads=rng.choice([1, 2, 3])).tobytes() == expected

    in_threads(work)
