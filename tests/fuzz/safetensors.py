"""Weight files: whatever the bytes, they are refused or mean what the safetensors package reads."""

from __future__ import annotations

import copy
import json
import os
import random
from typing import Any

from safetensors.numpy import load

from bge_micro.checkpoint import CheckpointError, open_tensors

from .mutation import Damage

DTYPES = ["F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"]
NUMBERS = [0, 1, 2, 3, 4, 8, 16, -1, 255, 2**31, 2**32, 2**62, 2**63, 2**64, 10**41, 1.0, 1e999]
VALUES: list[Any] = [None, True, "", "F4", [], [0], {}, [[1]], "F32", [0, 4], *NUMBERS]

# A file in memory: nothing reaches a disk.
_FILE = os.memfd_create("weights")
_PATH = f"/proc/self/fd/{_FILE}"


def fuzz(data: bytes) -> None:
    """Read the bytes as a weight file."""
    os.ftruncate(_FILE, 0)
    os.pwrite(_FILE, data, 0)
    mapped = len(data) % 2 == 1
    try:
        file = open_tensors(_PATH, mmap=mapped)
    except CheckpointError as error:
        if _PATH not in str(error):
            raise AssertionError("the message does not name the file") from error
        return
    found = {name: file[name] for name in file}
    # The package's NumPy face cannot read BF16; of that, shape and size are checked below.
    expected = {} if any(info.dtype == "BF16" for info in file.infos.values()) else load(data)
    for name, array in found.items():
        assert array.shape == file.infos[name].shape
        assert array.flags.aligned
        assert not array.flags.writeable
        if expected:
            assert array.dtype == expected[name].dtype
            assert array.tobytes() == expected[name].tobytes()
    assert not expected or expected.keys() == found.keys()


def mutate(data: bytes, most: int, rng: random.Random, damage: Damage) -> bytes:
    """Damage the bytes, or edit the header as JSON and put it together again."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:
        header = None
    if not isinstance(header, dict) or rng.random() < 0.3:
        return damage(data, most)
    body = data[8 + length :]
    for _ in range(rng.randint(1, 3)):
        body = _edit(header, body, rng)
    text = json.dumps(header).encode()
    if rng.random() < 0.2:
        text = damage(text, len(text) + 8)
    return (len(text).to_bytes(8, "little") + text + body)[:most]


def _edit(header: dict[str, Any], body: bytes, rng: random.Random) -> bytes:
    names = list(header)
    kind = rng.randrange(7)
    if kind == 0 or not names:  # a tensor more, rightly placed
        size = rng.randrange(4)
        dtype = rng.choice(DTYPES)
        bits = {"BF": 16, "BO": 8}.get(dtype[:2]) or int(dtype.lstrip("FIUB"))
        end = len(body) + size * bits // 8
        entry = {"dtype": dtype, "shape": [size], "data_offsets": [len(body), end]}
        header[rng.choice(["a", "b", "__metadata__", "", "é", "\x00"])] = entry
        return body + bytes(end - len(body))
    name = rng.choice(names)
    entry = header[name]
    if kind == 1:
        header[name] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 2:
        del header[name]
    elif kind == 3:
        header[rng.choice(["a", "b", "__metadata__"])] = copy.deepcopy(entry)
    elif isinstance(entry, dict) and kind == 4:
        value = rng.choice([*VALUES, rng.choice(DTYPES)])
        entry[rng.choice(["dtype", "shape", "data_offsets", "more"])] = copy.deepcopy(value)
    elif isinstance(entry, dict) and kind == 5:
        numbers = entry.get(rng.choice(["shape", "data_offsets"]))
        if isinstance(numbers, list) and numbers:
            at = rng.randrange(len(numbers))
            old = numbers[at]
            near = [old + rng.choice([-1, 1, 4])] if isinstance(old, int) else []
            numbers[at] = rng.choice([*near, *near, rng.choice(NUMBERS)])
    else:
        body = body[: rng.randrange(len(body) + 1)]
    return body
