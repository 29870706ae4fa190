"""What a damaged index says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bge_micro import SentenceTransformer
from bge_micro.search import Index, SavedIndexError
from bge_micro.search.saved import SavedIndex, open_index

from .saved_folder import TEXTS, facts_of, file_of, names, posix, put_facts, save

KINDS = ("vectors", "texts", "ids", "metadata")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an index with files of every kind."""
    save(tmp_path / "index", labelled=True)
    return tmp_path / "index"


def opened(folder: Path, *, mapped: bool = True) -> SavedIndex:
    """Open an index and use all of it."""
    saved = open_index(folder, mmap=mapped)
    saved.vectors.sum()
    for column in (saved.texts, saved.ids, saved.metadata):
        list(column or ())
    return saved


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_files_cut_before_they_are_opened(folder: Path, kind: str, mapped: bool) -> None:
    path = file_of(folder, kind)
    content = path.read_bytes()
    for size in range(0, len(content), 3):
        path.write_bytes(content[:size])
        with pytest.raises(SavedIndexError, match=f"{path.name}: "):
            opened(folder, mapped=mapped)


@posix
@pytest.mark.parametrize("kind", ["vectors", "texts"])
def test_files_cut_after_they_were_opened(folder: Path, kind: str) -> None:
    """To read a page of a mapped file that is not there any more would end the process."""
    save(folder, TEXTS * 1000)
    path = file_of(folder, kind)
    mapped, read = opened(folder), opened(folder, mapped=False)
    taken = read.vectors.tobytes()
    for size in (path.stat().st_size - 1, 4096, 0):
        os.truncate(path, size)
        with pytest.raises(SavedIndexError, match=f"{path.name}: has {size} bytes, .* cut"):
            (mapped.vectors if kind == "vectors" else mapped.texts[-1])
    assert list(read.texts) == TEXTS * 1000
    assert read.vectors.tobytes() == taken


@posix
@pytest.mark.parametrize("kind", ["vectors", "texts"])
def test_an_index_cut_between_two_searches(tmp_path: Path, kind: str) -> None:
    model = SentenceTransformer()
    index = Index(model)
    index.add([f"text {row}" for row in range(300)])
    index.save(tmp_path / "index")
    loaded, whole = (Index.load(tmp_path / "index", model, mmap=mapped) for mapped in (True, False))
    assert loaded.search("text") == whole.search("text") == index.search("text")
    os.truncate(file_of(tmp_path / "index", kind), 0)
    uses = [lambda: loaded.search("text"), lambda: loaded.save(tmp_path / "copy")]
    if kind == "vectors":
        uses.append(lambda: loaded.vectors.sum())
    for use in uses:
        with pytest.raises(SavedIndexError, match=f"{kind}-.*: has 0 bytes"):
            use()
    assert names(tmp_path) == ["index"]
    assert whole.search("text") == index.search("text")


BAD_FIELDS = [
    *(("format", value, "format is ") for value in (None, "2", 2.0, 0, 4, True, [2], 10**30)),
    *(("space_id", value, "space_id is ") for value in (None, "", 1, "\x1b[31m", "é", "a" * 1001)),
    *(("options", value, "options is ") for value in (None, [], "a")),
    *(("rows", value, "rows is ") for value in (None, "5", 5.0, -1, True)),
    *(("rows", value, ": has .*, expected") for value in (0, 4, 6, 10**30)),
    ("more", 1, "has the field 'more', which this version does not know"),
    ("\x1b[31m", 1, r"has the field '\\x1b\[31m', which"),
    *(("options.precision", value, "precision is ") for value in (None, "int4", 1, "")),
    *(("options.precision", value, "normalize_embeddings is ") for value in ("int8", "ubinary")),
    ("options.normalize_embeddings", False, "normalize_embeddings is False, expected True"),
    *(("options.truncate_dim", value, "truncate_dim is ") for value in (-1, 0, 1.5, "5", True)),
    *(("options.normalize_embeddings", value, "normalize_embeddings is ") for value in (1, None)),
    ("options.more", None, "has the field 'more'"),
    *((f"{kind}", value, f"{kind} is ") for kind in KINDS for value in (1, "a", [])),
    *((kind, None, f"{kind} is ") for kind in ("vectors", "texts")),
    *(("prompt", value, "prompt is ") for value in (1, [], True)),
    *(
        (f"{kind}.file", value, "file is ")
        for kind in KINDS
        for value in (None, 1, "", "index.json", "../x", f"notes-{'0' * 16}.npy", "/etc/passwd")
    ),
    *((f"{kind}.file", "OTHER", "file is ") for kind in KINDS),
    *(
        (
            f"{kind}.file",
            f"{kind}-{'0' * 16}.{ending}",
            "is missing, expected what index.json names",
        )
        for kind, ending in zip(KINDS, ("npy", "jsonl", "jsonl", "jsonl"), strict=True)
    ),
    *((f"{kind}.bytes", value, "bytes is ") for kind in KINDS for value in (None, -1, 1.0, "1")),
    *(
        (f"{kind}.bytes", value, rf"{kind}-.*: (has|does)")
        for kind in KINDS
        for value in (0, 1, 5000, 10**30)
    ),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_FIELDS)
def test_fields_with_other_values(folder: Path, name: str, value: Any, message: str) -> None:
    facts = facts_of(folder)
    inner = facts
    *outer, last = name.split(".")
    for part in outer:
        inner = inner[part]
    if value == "OTHER":  # the other kind's file
        value = facts["texts" if outer[0] == "vectors" else "vectors"]["file"]
    inner[last] = value
    put_facts(folder, facts)
    assert_refused(folder, message)


@pytest.mark.parametrize(
    "name",
    [
        *("format", "space_id", "options", "prompt", "rows", *KINDS),
        *("options.precision", "options.truncate_dim", "options.normalize_embeddings"),
        *(f"{kind}.{name}" for kind in KINDS for name in ("file", "bytes")),
    ],
)
def test_fields_that_are_missing(folder: Path, name: str) -> None:
    facts = facts_of(folder)
    inner = facts
    *outer, last = name.split(".")
    for part in outer:
        inner = inner[part]
    del inner[last]
    put_facts(folder, facts)
    assert_refused(folder, f"{last} is missing")


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b'"a"', b"1", b"\xff", b"{}", b"[" * 5000, b'{"a":' * 5000),
        b'{"format": 2, "format": 2}',
        b'{"format": NaN}',
        b'{"format": 2, "rows": Infinity}',
        b'{"format": 2e400}',
        b'{"format": ' + b"9" * 5000 + b"}",
        b" " * (1 << 20) + b"{}",
        json.dumps({"format": 2}).encode("utf-16"),
        b"\xef\xbb\xbf{}",
    ],
)
def test_an_index_json_that_is_none(folder: Path, content: bytes) -> None:
    (folder / "index.json").write_bytes(content)
    assert_refused(folder, "index.json: ")


def assert_refused(folder: Path, message: str) -> None:
    for mapped in (True, False):
        with pytest.raises(SavedIndexError, match=message) as caught:
            opened(folder, mapped=mapped)
        said = str(caught.value)
        assert str(folder) in said
        assert "anew" in said, "it says what to do"
        assert said.isprintable()
        assert len(said) < 1000


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + b"\x76\x00" + text.encode().ljust(117) + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        header("{'descr': '<f4', 'fortran_order': True, 'shape': (5, 6), }"),
        header("{'descr': '>f4', 'fortran_order': False, 'shape': (5, 6), }"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (5, 6), }"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (5, 6), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (30,), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 6, 1), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 0), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (5, -6), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 6), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (05, 6), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 5), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 999999999), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 6), }", b"\x02\x00"),
        header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (5, 6), }"),
        header("(" * 110),
        header("__import__('os').abort()"),
        b"PK\x03\x04" + bytes(200),
        b"\x80\x05" + bytes(200),  # a pickle
        bytes(248),
    ],
)
def test_vectors_that_are_none(folder: Path, content: bytes) -> None:
    file_of(folder, "vectors").write_bytes(content + bytes(120))
    assert_refused(folder, r"vectors-.*\.npy: ")


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"a", b'"a', b'a"', b"1", b"null", b"[]", b'{"text": "a"}', b'"a" "b"', b"NaN"),
        *(b"[" * 5000, b'"\xff"', '"a"'.encode("utf-16"), b'"\\x"', b'"\\ud8"', b'"\x01"'),
        b"9" * 5000,
    ],
)
def test_a_line_that_is_no_text(folder: Path, line: bytes) -> None:
    lines = [b'"one"', line, b'"three"']
    content = b"\n".join(lines) + b"\n"
    save(folder, ["one", "two", "three"])
    file_of(folder, "texts").write_bytes(content)
    facts = facts_of(folder)
    facts["texts"]["bytes"] = len(content)
    put_facts(folder, facts)
    assert_refused(folder, r"texts-.*\.jsonl: line 2 is ")
    assert open_index(folder).texts[2] == "three", "the others can be read"


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        *(("ids", line) for line in (b"1", b"[]", b"{}", b"true", b"", b"a", b'"\\x"')),
        *(("metadata", line) for line in (b"", b"{", b"NaN", b"-Infinity", b"\xff", b"[" * 5000)),
    ],
)
def test_a_line_that_is_no_id_or_metadata(folder: Path, kind: str, line: bytes) -> None:
    path = file_of(folder, kind)
    lines = path.read_bytes().split(b"\n")
    lines[1] = line
    path.write_bytes(b"\n".join(lines))
    facts = facts_of(folder)
    facts[kind]["bytes"] = path.stat().st_size
    put_facts(folder, facts)
    assert_refused(folder, rf"{kind}-.*\.jsonl: line 2 is ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'"1"\n"2"\n', "has 2 lines, expected 3"),
        (b'"1"\n"2"\n"3"', "has 2 lines, expected 3"),
        (b'"1"\n"2"\n"3"\n"4"\n', "has 4 lines, expected 3"),
        (b'"1"\n"2"\n"3"\n"4"', "does not end with line 3"),
        (b'"1"\r"2"\r"3"\r', "has 0 lines, expected 3"),
    ],
)
def test_other_numbers_of_lines(folder: Path, content: bytes, message: str) -> None:
    save(folder, ["one", "two", "three"])
    file_of(folder, "texts").write_bytes(content)
    facts = facts_of(folder)
    facts["texts"]["bytes"] = len(content)
    put_facts(folder, facts)
    assert_refused(folder, message)


@posix
@pytest.mark.parametrize("kind", ["index.json", *KINDS])
@pytest.mark.parametrize("what", ["folder", "pipe", "device"])
def test_no_file(folder: Path, kind: str, what: str) -> None:
    path = folder / kind if kind == "index.json" else file_of(folder, kind)
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    assert_refused(folder, f"{path.name}: is a .*, expected a file")
