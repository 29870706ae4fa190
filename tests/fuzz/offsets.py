"""Offsets files: whatever the bytes, they are refused or lie within the cells of every matrix."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from bge_micro.checkpoint import CheckpointError
from bge_micro.convert.offsets import MOST, read_offsets
from bge_micro.convert.onnx_model import Quantised

from .safetensors import mutate

__all__ = ["fuzz", "mutate"]

# The export that the seeds belong to, as if it had two matrices.
_SHA256 = "ed65e36025aa94cb74207dab863c85452919ec0ab7df3512092932aa22c9a33a"
_SCALE = np.ones(1, np.float32)
_EXPORT = {
    "a": Quantised(np.zeros((2, 3), np.int16), _SCALE),
    "b": Quantised(np.zeros((1, 4), np.int8), _SCALE),
}

_FILE = os.memfd_create("offsets")
_PATH = Path(f"/proc/self/fd/{_FILE}")


def fuzz(data: bytes) -> None:
    """Read the bytes as an offsets file."""
    os.ftruncate(_FILE, 0)
    os.pwrite(_FILE, data, 0)
    try:
        offsets = read_offsets(_PATH, _EXPORT, _SHA256)
    except CheckpointError as error:
        if str(_PATH) not in str(error):
            raise AssertionError("the message does not name the file") from error
        return
    assert offsets.keys() == _EXPORT.keys()
    for name, array in offsets.items():
        assert array.dtype == np.int8
        assert array.shape == _EXPORT[name].integers.shape
        assert np.abs(array.astype(np.int16)).max() <= MOST
