"""The caller's floating-point mode changes no bit, and is the same after the call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bge_micro import SentenceTransformer
from core.isas import assert_same_bits
from golden.make_digests import COMPUTE_TYPES, differences, text_digests
from invariance.float_mode import MACHINE, MODES, float_mode, get_mode
from invariance.random_models import (
    KINDS,
    random_model,
    random_tensors,
    random_texts,
    write_folder,
)

pytestmark = pytest.mark.skipif(
    MACHINE is None, reason="how to set the mode is known for Linux on x86-64 and aarch64 only"
)

TESTS = Path(__file__).resolve().parents[1]
LINES = [0, 3, 15, 47, 62, 74, 94, *range(180, 335, 20)]

# Starts the core's threads in the given mode: they are made by the first call that needs them.
CHILD = f"""
import sys
from bge_micro import SentenceTransformer
from golden.make_digests import differences, text_digests
from invariance.float_mode import float_mode
model = SentenceTransformer(threads=3)
with float_mode(sys.argv[1]):
    digests = text_digests(model, {LINES})
sys.exit(f"lines {{bad}} differ" if (bad := differences("int8", {LINES}, digests)) else 0)
"""


@pytest.mark.parametrize("mode", MODES)
def test_golden_texts(model: SentenceTransformer, mode: str) -> None:
    with float_mode(mode):
        wanted = get_mode()
        digests = text_digests(model, LINES)
        found = get_mode()
    assert found == wanted
    assert differences(model.compute_type, LINES, digests) == []
    assert get_mode() == 0


@pytest.mark.parametrize("mode", MODES)
def test_threads_that_start_in_this_mode(mode: str) -> None:
    child = subprocess.run(
        [sys.executable, "-c", CHILD, mode],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr


@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_random_models(kind: str, compute_type: str) -> None:
    model, texts = random_model(kind, compute_type), random_texts()
    expected = model.encode(texts)
    for mode in MODES:
        with float_mode(mode):
            results = model.encode(texts, threads=2)
        for actual, wanted in zip(results, expected, strict=True):
            assert_same_bits(actual, wanted, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_loading_the_bundled_model(mode: str, compute_type: str) -> None:
    with float_mode(mode):
        wanted = get_mode()
        model = SentenceTransformer(compute_type=compute_type)
        found = get_mode()
    assert found == wanted
    assert differences(compute_type, LINES, text_digests(model, LINES)) == []


@pytest.mark.parametrize("kind", ["ordinary", "subnormal results", "input factors"])
@pytest.mark.parametrize("compute_type", COMPUTE_TYPES)
def test_loading_a_folder(tmp_path: Path, kind: str, compute_type: str) -> None:
    texts = write_folder(tmp_path / "model", random_tensors(kind))
    expected = SentenceTransformer(tmp_path / "model", compute_type=compute_type).encode(texts)
    for mode in MODES:
        with float_mode(mode):
            model = SentenceTransformer(tmp_path / "model", compute_type=compute_type)
        assert_same_bits(model.encode(texts), expected, mode)
