"""A pytest plugin: looks for leaked memory when the tests are done.

Between the end of the session and that of the interpreter, which lets go of modules and types that
it never frees: each would count as a leak.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys


def check() -> None:
    gc.collect()
    if ctypes.CDLL(None).__lsan_do_recoverable_leak_check():
        sys.stdout.flush()
        os._exit(1)


atexit.register(check)
