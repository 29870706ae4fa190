"""Every instruction set that this CPU runs gives the committed digests of the golden texts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bge_micro import SentenceTransformer
from bge_micro.runtime import ISA_VARIABLE
from core.isas import HARDWARE, SLOW
from golden.make_digests import (
    COMPUTE_TYPES,
    committed_digests,
    differences,
    overall_digest,
    provenance,
    text_digests,
)

TEXTS = 335

# Without FMA in hardware a float32 token takes 4 to 7 ms and an int8 one up to 1 ms, as by the
# model of AMX, so these get a part of the texts. Line n of the file has n + 2 tokens up to line 62,
# SLOW_LONG have 97, 193 and 512; after them come sentences in many scripts, then odd input.
SLOW_LONG = (74, 95, 133)
SLOW_ROWS = {
    "int8": [*range(0, 62, 5), *SLOW_LONG, *range(180, TEXTS, 9)],
    "float32": [0, 1, 2, 5, 10, 13, 14, 15, 31, 47, *range(256, TEXTS, 15)],
}


def assert_golden(
    monkeypatch: pytest.MonkeyPatch, isa: str, compute_type: str, rows: Sequence[int]
) -> list[str]:
    """Check the digests on an instruction set, which must be the one that runs; return them."""
    monkeypatch.setenv(ISA_VARIABLE, isa)
    model = SentenceTransformer(compute_type=compute_type)
    assert model.isa == isa
    digests = text_digests(model, rows)
    bad = differences(compute_type, rows, digests)
    assert not bad, f"{len(bad)} of {len(rows)} texts differ on {isa}, in lines {bad[:20]}"
    return digests


def test_digests_belong_to_this_model() -> None:
    committed = committed_digests()
    assert {key: committed[key] for key in provenance()} == provenance()
    for compute_type in COMPUTE_TYPES:
        digests = committed["texts"][compute_type]
        assert len(digests) == TEXTS
        assert committed["overall"][compute_type] == overall_digest(digests)


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
@pytest.mark.parametrize("isa", HARDWARE)
def test_all_texts(monkeypatch: pytest.MonkeyPatch, isa: str, compute_type: str) -> None:
    digests = assert_golden(monkeypatch, isa, compute_type, range(TEXTS))
    assert overall_digest(digests) == committed_digests()["overall"][compute_type]


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
@pytest.mark.parametrize("isa", SLOW)
def test_some_texts(monkeypatch: pytest.MonkeyPatch, isa: str, compute_type: str) -> None:
    assert_golden(monkeypatch, isa, compute_type, SLOW_ROWS[compute_type])


@pytest.mark.slow
@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
@pytest.mark.parametrize("isa", SLOW)
def test_all_texts_slowly(monkeypatch: pytest.MonkeyPatch, isa: str, compute_type: str) -> None:
    assert_golden(monkeypatch, isa, compute_type, range(TEXTS))
