"""The caller's floating-point mode: it changes no bit, and encoding leaves it as it was."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from core.isas import assert_same_bits
from core.models import Sizes, encode, encode_tokens, make_model, random_tensors, random_texts

SIZES = Sizes()
LENGTHS = [1, 2, 17, 64, 130]


class _X86(ctypes.Structure):
    """glibc's and musl's fenv_t on x86-64: the x87 state, then MXCSR."""

    _fields_ = (("x87", ctypes.c_uint32 * 7), ("control", ctypes.c_uint32))


class _Aarch64(ctypes.Structure):
    """The same on aarch64: FPCR, then FPSR."""

    _fields_ = (("control", ctypes.c_uint32), ("status", ctypes.c_uint32))


# Bits of the control word. On x86-64, flush to zero and denormals are zero; on aarch64, FZ is both.
MACHINES = {
    "x86_64": (_X86, 0x8040, {"up": 0x4000, "down": 0x2000, "to zero": 0x6000}, 0xFFC0),
    "aarch64": (_Aarch64, 1 << 24, {"up": 1 << 22, "down": 2 << 22, "to zero": 3 << 22}, ~0),
}
MODES = ["flush to zero", "up", "down", "to zero", "flush to zero and up"]


def bits_of(mode: str) -> int:
    _, flush, rounding, _ = MACHINES[platform.machine()]
    bits = flush if mode.startswith("flush") else 0
    return bits | rounding.get(mode.removeprefix("flush to zero and "), 0)


def control_word() -> int:
    """Return this thread's mode, without the flags of past exceptions."""
    environment, _, _, mask = MACHINES[platform.machine()]
    found = environment()
    ctypes.CDLL(None).fegetenv(ctypes.byref(found))
    return int(found.control) & mask


@contextmanager
def float_mode(mode: str) -> Iterator[None]:
    """Set a mode for this thread, as a library that was loaded before us might."""
    if not sys.platform.startswith("linux") or platform.machine() not in MACHINES:
        pytest.skip("no known way to set the floating-point mode here")
    library, environment = ctypes.CDLL(None), MACHINES[platform.machine()][0]
    before, changed = environment(), environment()
    library.fegetenv(ctypes.byref(before))
    library.fegetenv(ctypes.byref(changed))
    changed.control |= bits_of(mode)
    library.fesetenv(ctypes.byref(changed))
    try:
        yield
    finally:
        library.fesetenv(ctypes.byref(before))


@pytest.mark.parametrize("mode", MODES)
def test_the_mode_is_felt(mode: str) -> None:
    """If setting a mode had no effect, the tests below would prove nothing."""
    one, three, subnormal = (np.full(1, v, np.float32) for v in (1, 3, 1e-40))
    nearest, kept = one / three, subnormal * one
    negative_nearest = -one / three
    with float_mode(mode):
        felt = one / three, -one / three, subnormal * one
    if "flush" in mode:
        assert felt[2] == 0 != kept
    if "up" in mode or mode in ("down", "to zero"):
        assert felt[:2] != (nearest, negative_nearest)


@pytest.mark.parametrize("compute_type", ["float32", "int8"])
@pytest.mark.parametrize("mode", MODES)
def test_encoding(isa: str, compute_type: str, mode: str) -> None:
    model = make_model(SIZES, random_tensors(SIZES), compute_type, isa)
    texts = random_texts(SIZES, LENGTHS)
    expected = encode_tokens(model, SIZES, texts)
    rows = []
    with float_mode(mode):
        for threads in (1, 2, 3, 4):
            before = control_word()
            rows.append(encode_tokens(model, SIZES, texts, threads))
            assert control_word() == before
    for row in rows:
        assert_same_bits(row, expected)


@pytest.mark.parametrize("mode", MODES)
def test_finishing(isa: str, mode: str) -> None:
    model = make_model(SIZES, random_tensors(SIZES), "int8", isa)
    texts = random_texts(SIZES, LENGTHS)
    for precision in ("float32", "int8"):
        expected = encode(model, SIZES, texts, normalize=True, precision=precision)
        with float_mode(mode):
            vectors = encode(model, SIZES, texts, normalize=True, precision=precision)
        assert_same_bits(vectors, expected)


@pytest.mark.parametrize(
    ("compute_type", "int8_weights"), [("float32", True), ("float32", False), ("int8", True)]
)
@pytest.mark.parametrize("mode", MODES)
def test_making_a_model(isa: str, compute_type: str, int8_weights: bool, mode: str) -> None:
    """If the model computes in float32, packing multiplies int8 weights by their scales."""
    tensors = random_tensors(SIZES, int8=int8_weights)
    for name in tensors:
        if name.endswith("weight_scale"):
            tensors[name][:8] = 1e-41  # subnormal: if it were flushed, the weights would be zero
    texts = random_texts(SIZES, LENGTHS)
    expected = encode(make_model(SIZES, tensors, compute_type, isa), SIZES, texts)
    with float_mode(mode):
        before = control_word()
        model = make_model(SIZES, tensors, compute_type, isa)
        assert control_word() == before
    assert_same_bits(encode(model, SIZES, texts), expected)
