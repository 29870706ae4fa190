"""Folders of saved indexes: whatever is in the files, they are refused, or mean what NumPy and json
read in them; a search gives hits or an error of ours.

An input: a byte, whether files are mapped; the lengths of index.json, the vectors, the texts and
the ids, two bytes each; these, and the metadata. "SPACE" in index.json is replaced by the model's
space id.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import re
import shutil
import struct
import tempfile
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from api.tiny_model import write_tiny_model
from bge_micro import SentenceTransformer
from bge_micro.search import Index, SavedIndexError
from bge_micro.search.saved import SavedIndex, open_index

from .mutation import Damage, mutate_json

# Files that live in memory, where the system has such a place.
_PLACE = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_FOLDER = Path(tempfile.mkdtemp(prefix="bge-micro-fuzz-", dir=_PLACE))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)

LINES_OF = {kind: f"{kind}-{'0' * 16}.jsonl" for kind in ("texts", "ids", "metadata")}
NAMES = {"vectors": f"vectors-{'0' * 16}.npy", **LINES_OF}
PATHS = [_FOLDER / name for name in ("index.json", *NAMES.values())]
_FILES = [os.open(path, os.O_RDWR | os.O_CREAT) for path in PATHS]
# Format 1 has the same files under other names.
for _path, _name in zip(PATHS[1:3], ("vectors.npy", "texts.jsonl"), strict=True):
    (_FOLDER / _name).symlink_to(_path.name)

with tempfile.TemporaryDirectory() as _folder:
    _MODEL = SentenceTransformer(write_tiny_model(Path(_folder) / "tiny"), threads=1)
    _MODEL.space_id  # noqa: B018 - which reads the folder
_ASKED = "a b"

KEYS = [
    *("format", "space_id", "options", "prompt", "rows", *NAMES, "file", "bytes", "more"),
    *("precision", "truncate_dim", "normalize_embeddings"),
]
VALUES: list[Any] = [
    *(None, True, False, "", "SPACE", *NAMES.values(), "../a", "/", "a\x1b[31m", "é", [], {}, [[]]),
    *("float32", "int8", "uint8", "binary", "ubinary", "SPACE;a=1", "dimensions=64", 1.5, 1e308),
    *(-1, 0, 1, 2, 3, 8, 64, 65, 128, 129, 2**31, 2**63, 10**30, 10**39),
    {"file": NAMES["vectors"], "bytes": 128},
    {"file": NAMES["texts"], "bytes": 0},
    {"file": NAMES["ids"], "bytes": 5},
]
DESCRS = [b"<f4", b"|i1", b"|u1", b">f4", b"<f8", b"|O", b"<f2", b"|V9", b"|b1"]
LINES = [
    b'""',
    b'"a"',
    b"1",
    b"null",
    b"[",
    b"",
    b'"\\ud800"',
    b'"\xff"',
    b"\r",
    b'"\x00"',
    b"NaN",
    b"{}",
]


def fuzz(data: bytes) -> None:
    """Read the bytes as a folder."""
    if len(data) < _HEAD_BYTES:
        return
    mapped = data[0] % 2 == 1
    content, *files = parts_of(data)
    content = content.replace(b"SPACE", space_of(content).encode())
    for file, part in zip(_FILES, (content, *files), strict=True):
        os.ftruncate(file, 0)
        os.pwrite(file, part, 0)
    try:
        saved = open_index(_FOLDER, mmap=mapped)
    except SavedIndexError as error:
        check_message(error)
        return
    check(saved, json.loads(content), dict(zip(NAMES, files, strict=True)))
    try:
        index = Index.load(_FOLDER, _MODEL, mmap=mapped)
        hits = index.search(_ASKED, 3)
        named = {name for name in index.ids if name is not None}
        among = index.search(_ASKED, len(index) + 1, filter=named)
    except ValueError as error:
        check_message(error, of_rows="have the same id" in str(error))
        return
    assert len(hits) == min(3, len(index))
    assert [hit.text for hit in hits] == [index.texts[hit.row] for hit in hits]
    assert {hit.id for hit in among} == named
    assert len(among) == len(named)


_HEAD_BYTES = 9


def parts_of(data: bytes) -> list[bytes]:
    ends = [_HEAD_BYTES]
    for length in struct.unpack_from("<HHHH", data, 1):
        ends.append(min(ends[-1] + length, len(data)))
    return [data[begin:end] for begin, end in pairwise([*ends, len(data)])]


def space_of(content: bytes) -> str:
    """Return the id of the space that the options in an index.json name, if they name one."""
    try:
        return _MODEL.space_id_of(**json.loads(content)["options"])
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError):
        return "none"


def check_message(error: ValueError, *, of_rows: bool = False) -> None:
    """See that an error names the folder, unless it is of rows, and is fit for a terminal."""
    said = str(error)
    if not (of_rows or str(_FOLDER) in said) or not said.isprintable() or len(said) > 2000:
        raise AssertionError(f"the message {said!r}") from error


def check(saved: SavedIndex, facts: dict[str, Any], files: dict[str, bytes]) -> None:
    """Compare with what NumPy and json read."""
    rows = facts["rows"]
    file = BytesIO(files["vectors"])
    assert np.lib.format.read_magic(file) == (1, 0)
    (count, columns), fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    assert count >= rows if facts["format"] > 1 else count == rows
    assert not fortran_order
    expected = np.frombuffer(files["vectors"], dtype, rows * columns, file.tell())
    assert saved.vectors.shape == (rows, columns)
    assert saved.vectors.dtype == expected.dtype
    assert saved.vectors.tobytes() == expected.tobytes()
    assert not saved.vectors.flags.writeable
    for kind in LINES_OF:
        column = getattr(saved, kind)
        if column is None:
            assert facts.get(kind) is None
            continue
        stated = files[kind] if facts["format"] == 1 else files[kind][: facts[kind]["bytes"]]
        check_lines(column, stated, (str,) if kind == "texts" else (str, type(None)), kind)


def check_lines(column: Any, stated: bytes, types: tuple[type, ...], kind: str) -> None:
    lines = stated.split(b"\n")
    assert lines.pop() == b""
    assert len(column) == len(lines)
    for row, line in enumerate(lines):
        try:
            value = column[row]
        except SavedIndexError as error:
            check_message(error)
        else:
            assert kind == "metadata" or type(value) in types
            assert value == json.loads(line)


def mutate(data: bytes, most: int, rng: random.Random, damage: Damage) -> bytes:
    """Change one file or more, and mostly have index.json state the others' lengths again."""
    if len(data) < _HEAD_BYTES:
        return damage(data, most)
    content, vectors, *lines = parts_of(data)
    for _ in range(rng.randint(1, 2)):
        kind = rng.randrange(5)
        if kind == 0:
            content = mutate_json(content, 0, most, rng, damage, KEYS, VALUES)
        elif kind == 1:
            vectors = _mutate_vectors(vectors, rng, damage)
        else:
            lines[kind - 2] = _mutate_lines(lines[kind - 2], rng, damage)
    if rng.random() < 0.6:
        content = _stating(content, vectors, lines)
    lengths = (len(part) & 0xFFFF for part in (content, vectors, *lines[:2]))
    head = bytes([rng.randrange(2)]) + struct.pack("<HHHH", *lengths)
    return b"".join((head, content, vectors, *lines))[:most]


def _mutate_vectors(vectors: bytes, rng: random.Random, damage: Damage) -> bytes:
    kind = rng.randrange(4)
    if kind == 0:  # another number in the header
        number = str(rng.choice([0, 1, 2, 3, 7, 8, 64, 65, 2**31, 10**18])).encode()
        numbers = list(re.finditer(rb"(?<=[( ])\d+(?=[,)])", vectors[:128]))
        if numbers:
            at = rng.choice(numbers)
            grown = len(number) - (at.end() - at.start())
            changed = vectors[: at.start()] + number + vectors[at.end() : 127]
            changed = changed[:127] if grown > 0 else changed + b" " * -grown
            return changed + vectors[127:]
    if kind == 1:
        return re.sub(rb"'descr': '[^']*'", b"'descr': '%s'" % rng.choice(DESCRS), vectors, count=1)
    if kind == 2:  # rows more or less
        return vectors[: rng.randrange(len(vectors) + 1)] + rng.randbytes(rng.choice([0, 64, 256]))
    return damage(vectors, len(vectors) + 8)


def _mutate_lines(content: bytes, rng: random.Random, damage: Damage) -> bytes:
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        lines[at] = rng.choice(LINES)
    elif kind == 1:
        lines.insert(at, rng.choice(LINES))
    elif kind == 2:
        del lines[at]
    else:
        return damage(content, len(content) + 8)
    return b"\n".join(lines)


def _stating(content: bytes, vectors: bytes, lines: list[bytes]) -> bytes:
    try:
        facts = json.loads(content)
        for kind, part in zip(NAMES, (vectors, *lines), strict=True):
            if facts.get(kind) is not None:
                facts[kind]["bytes"] = len(part)
        facts["rows"] = lines[0].count(b"\n")
        return json.dumps(facts).encode()
    except (ValueError, TypeError, LookupError, RecursionError):
        return content
