"""A little fuzzing in every test run: the seeds, and some thousand inputs made from them."""

from __future__ import annotations

import importlib
import random
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from .mutation import damage_bytes

CORPUS = Path(__file__).parent / "corpus"
INPUTS = 1500
LONGEST = 1500

linux = pytest.mark.skipif(sys.platform != "linux", reason="the target has its file in memory")
served = pytest.mark.skipif(
    not all(map(find_spec, ["starlette", "uvicorn", "httptools", "orjson", "prometheus_client"])),
    reason="the server's packages are missing: pip install '.[test]'",
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("safetensors", marks=linux),
        pytest.param("offsets", marks=linux),
        "settings",
        "tokenizer",
        "index",
        pytest.param("server", marks=served),
        pytest.param("http_bytes", marks=served),
    ],
)
def test_nothing_is_found(name: str) -> None:
    target = importlib.import_module(f"fuzz.{name}")
    rng = random.Random(9)

    def damage(data: bytes, most: int) -> bytes:
        return damage_bytes(data, most, rng)

    seeds = [b"", *(path.read_bytes() for path in sorted((CORPUS / name).iterdir()))]
    for data in seeds:
        target.fuzz(data)
    for _ in range(INPUTS):
        data = rng.choice(seeds)
        for _ in range(rng.randint(1, 3)):
            if hasattr(target, "mutate"):
                data = target.mutate(data, LONGEST, rng, damage)
            else:
                data = damage(data, LONGEST)
        target.fuzz(data)
