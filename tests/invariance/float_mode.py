"""The calling thread's floating-point mode: rounding direction, flushing of subnormal numbers.

One control register has both, MXCSR on x86-64 and FPCR on aarch64. The C library's fegetenv and
fesetenv read and write it. Linux only: the place of the register inside fenv_t is that of glibc and
musl.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """Where fenv_t holds the control register, and what its bits mean."""

    byte_offset: int
    modes: dict[str, int]

    @property
    def mode_bits(self) -> int:
        """The bits of the mode; others tell which exceptions have occurred."""
        return self.modes["towards zero"] | self.modes["flush to zero"]


MACHINES = {
    "x86_64": Machine(
        28,
        {
            "up": 2 << 13,
            "down": 1 << 13,
            "towards zero": 3 << 13,
            "flush to zero": 1 << 15 | 1 << 6,
        },
    ),
    "aarch64": Machine(
        0, {"up": 1 << 22, "down": 2 << 22, "towards zero": 3 << 22, "flush to zero": 1 << 24}
    ),
}
MODES = ("up", "down", "towards zero", "flush to zero")
MACHINE = MACHINES.get(platform.machine()) if sys.platform == "linux" else None


def get_mode() -> int:
    """Return the mode bits of the calling thread; 0 is the default mode."""
    assert MACHINE
    return _control(_environment()).value & MACHINE.mode_bits


@contextmanager
def float_mode(name: str) -> Iterator[None]:
    """Compute in another mode inside a with block, after a check that the mode has an effect."""
    assert MACHINE
    environment = _environment()
    control = _control(environment)
    before = control.value
    control.value = before & ~MACHINE.mode_bits | MACHINE.modes[name]
    ctypes.CDLL(None).fesetenv(environment)
    try:
        assert _acting_mode() == name
        yield
    finally:
        control.value = before
        ctypes.CDLL(None).fesetenv(environment)


def _environment() -> ctypes.Array[ctypes.c_char]:
    environment = ctypes.create_string_buffer(64)  # more than any fenv_t
    ctypes.CDLL(None).fegetenv(environment)
    return environment


def _control(environment: ctypes.Array[ctypes.c_char]) -> ctypes.c_uint32:
    assert MACHINE
    return ctypes.c_uint32.from_buffer(environment, MACHINE.byte_offset)


# Named, so that Python computes with them instead of folding constants.
_ONE, _TINY, _SUBNORMAL = 1.0, 1e-30, 1e-310


def _acting_mode() -> str:
    """Find out by arithmetic what the mode is."""
    if _SUBNORMAL * _ONE == 0.0:
        return "flush to zero"
    rises, falls, grows = _ONE + _TINY > _ONE, _ONE - _TINY < _ONE, -_ONE - _TINY < -_ONE
    return {
        (True, False, False): "up",
        (False, True, True): "down",
        (False, True, False): "towards zero",
        (False, False, False): "nearest",
    }[rises, falls, grows]
