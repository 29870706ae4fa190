"""A saved index: what is in its folder, who may write it, and what a damaged one says."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import SentenceTransformer
from bge_micro.search import Index, SavedIndexError
from bge_micro.search.index import index_options
from bge_micro.search.saved import SavedIndex, new_index, open_index, reader

TEXTS = ["a", 'b "quoted"\n', "", "\ud800 é 日", "\u2028"]
OPTIONS = index_options(None, "float32")
DTYPES = {"float32": "<f4", "int8": "|i1", "uint8": "|u1", "binary": "|i1", "ubinary": "|u1"}

posix = pytest.mark.skipif(os.name == "nt", reason="of POSIX")


def vectors_of(rows: int, dtype: str = "<f4", first: int = 0) -> NDArray[Any]:
    return (np.arange(rows * 6).reshape(rows, 6) + first).astype(dtype)


def save(
    folder: Path, texts: list[str] = TEXTS, *, first: int = 0, precision: str = "float32"
) -> None:
    vectors = vectors_of(len(texts), DTYPES[precision], first)
    with new_index(folder, "space", index_options(None, precision), vectors) as writer:
        writer.append(texts, vectors)


def facts_of(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "index.json").read_text())
    return facts


def put_facts(folder: Path, facts: Any) -> None:
    (folder / "index.json").write_text(json.dumps(facts))


def file_of(folder: Path, kind: str) -> Path:
    name: str = facts_of(folder)[kind]["file"]
    return folder / name


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "index"
    save(folder)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """Return a copy of a saved index, which takes less time than to have another on the disk."""
    return shutil.copytree(original, tmp_path / "index")


# What is in it.


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_what_was_saved(tmp_path: Path, precision: str, rows: int, mapped: bool) -> None:
    save(tmp_path / "index", TEXTS[:rows], precision=precision)
    saved = open_index(tmp_path / "index", mmap=mapped)
    assert list(saved.texts) == saved.texts[:] == TEXTS[:rows]
    assert saved.vectors.dtype == DTYPES[precision]
    assert np.array_equal(saved.vectors, vectors_of(rows, DTYPES[precision]))
    assert not saved.vectors.flags.writeable
    assert saved.vectors.flags.aligned
    assert (saved.space_id, saved.options) == ("space", index_options(None, precision))


def test_the_files_are_what_the_docs_say(folder: Path) -> None:
    facts = facts_of(folder)
    assert list(facts) == ["format", "space_id", "options", "rows", "vectors", "texts"]
    assert (facts["format"], facts["rows"]) == (2, len(TEXTS))
    for kind in ("vectors", "texts"):
        assert facts[kind]["bytes"] == file_of(folder, kind).stat().st_size
    mapped = np.load(file_of(folder, "vectors"), mmap_mode="r")
    assert np.array_equal(mapped, vectors_of(len(TEXTS)))
    lines = file_of(folder, "texts").read_text("ascii").splitlines()
    assert [json.loads(line) for line in lines] == TEXTS
    data = [facts["texts"]["file"], facts["vectors"]["file"]]
    assert names(folder) == [".lock", "index.json", *data]


def test_rows_behind_the_stated_ones_do_not_count(folder: Path) -> None:
    """So that rows can be appended, and are there once index.json says so."""
    with file_of(folder, "texts").open("ab") as file:
        file.write(b'"more"\n{"unfini')
    path = file_of(folder, "vectors")
    np.save(path, vectors_of(len(TEXTS) + 1))
    with path.open("ab") as file:
        file.write(b"part")
    for mapped in (True, False):
        saved = open_index(folder, mmap=mapped)
        assert list(saved.texts) == TEXTS
        assert np.array_equal(saved.vectors, vectors_of(len(TEXTS)))


def as_format_1(folder: Path) -> Path:
    """Turn a folder into one of format 1."""
    facts = facts_of(folder)
    file_of(folder, "vectors").rename(folder / "vectors.npy")
    file_of(folder, "texts").rename(folder / "texts.jsonl")
    (folder / ".lock").unlink()
    del facts["vectors"], facts["texts"]
    put_facts(folder, facts | {"format": 1})
    return folder


def test_format_1(folder: Path) -> None:
    saved = open_index(as_format_1(folder))
    assert list(saved.texts) == TEXTS
    assert np.array_equal(saved.vectors, vectors_of(len(TEXTS)))
    np.save(folder / "vectors.npy", vectors_of(len(TEXTS) + 1))
    assert_refused(folder, "has 6 rows, expected 5")
    save(folder, ["new"])
    assert list(open_index(folder).texts) == ["new"]
    assert not {"vectors.npy", "texts.jsonl"} & set(names(folder))
    assert facts_of(folder)["format"] == 2


# Who may write, and what stays as it was.


def test_one_writer_at_a_time(folder: Path) -> None:
    before = names(folder)
    with new_index(folder, "space", OPTIONS, vectors_of(0)) as writer:
        with pytest.raises(BlockingIOError, match="another process is writing") as caught:
            save(folder, ["second"])
        assert caught.value.filename == str(folder)
        assert list(open_index(folder).texts) == TEXTS, "readers are not kept out"
        writer.append(["first"], vectors_of(1))
    assert list(open_index(folder).texts) == ["first"]
    assert len(names(folder)) == len(before)
    save(folder, ["third"])


def test_one_writer_where_nothing_was(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with new_index(folder, "space", OPTIONS, vectors_of(0)):
        with pytest.raises(BlockingIOError, match="another process is writing"):
            save(folder)
        with pytest.raises(FileNotFoundError):
            open_index(folder)
    assert list(open_index(folder).texts) == []


def test_a_lock_whose_file_was_removed_is_no_lock(folder: Path, monkeypatch: Any) -> None:
    """As by a writer that failed, between our opening the file and our locking it."""
    import bge_micro.search.saved.lock as module

    lock_handle = module._lock_handle

    def lose(handle: int) -> None:
        (folder / ".lock").unlink()
        lock_handle(handle)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_lock_handle", lose)
        with pytest.raises(BlockingIOError):
            save(folder, ["new"])
    save(folder, ["newer"])


def test_without_locks_nothing_of_others_is_removed(folder: Path, monkeypatch: Any) -> None:
    import bge_micro.search.saved.lock as module

    def refuse(handle: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    other = folder / f"vectors-{'0' * 16}.npy"
    other.write_bytes(b"of a living writer, perhaps")
    old = file_of(folder, "vectors")
    monkeypatch.setattr(module, "_lock_handle", refuse)
    save(folder, ["new"])
    assert list(open_index(folder).texts) == ["new"]
    assert other.exists()
    assert not old.exists()


def test_leftovers_of_killed_writers(folder: Path) -> None:
    leftovers = [f"vectors-{'0' * 16}.npy", f"texts-{'f' * 16}.jsonl"]
    leftovers += [f".index.json.{'1' * 16}.partial"]
    others = ["vectors.npy", "texts-1.jsonl", "notes.txt"]
    for name in leftovers + others:
        (folder / name).write_text("x")
    with pytest.raises(KeyboardInterrupt), new_index(folder, "s", OPTIONS, vectors_of(0)):
        raise KeyboardInterrupt
    assert not set(leftovers) & set(names(folder))
    assert set(others) <= set(names(folder))
    assert list(open_index(folder).texts) == TEXTS


def test_the_folder_of_a_killed_first_writer(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    folder.mkdir()
    for name in (".lock", f"vectors-{'0' * 16}.npy", f".index.json.{'1' * 16}.partial"):
        (folder / name).touch()
    save(folder)
    assert len(names(folder)) == 4


@pytest.mark.parametrize("content", ["{", '{"format": 3, "space_id": "a", "more": 1}', "[]"])
def test_what_a_damaged_index_or_a_newer_one_names_stays_until_it_is_replaced(
    folder: Path, content: str
) -> None:
    before = names(folder)
    (folder / "index.json").write_text(content)
    with pytest.raises(KeyboardInterrupt), new_index(folder, "s", OPTIONS, vectors_of(0)):
        raise KeyboardInterrupt
    assert names(folder) == before
    save(folder, ["new"])
    save(folder, ["newer"])
    assert list(open_index(folder).texts) == ["newer"]
    assert len(names(folder)) == 4


@pytest.mark.parametrize("content", ['{"name": "a web site"}', "not JSON"])
def test_an_index_json_of_others_is_not_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(FileExistsError, match="exists and is no index"):
        save(tmp_path)
    assert names(tmp_path) == ["index.json"]
    assert (tmp_path / "index.json").read_text() == content


@posix
def test_modes_are_kept(folder: Path) -> None:
    modes = {"index.json": 0o640, "vectors": 0o600, "texts": 0o444}

    def path_of(kind: str) -> Path:
        return folder / kind if "." in kind else file_of(folder, kind)

    for kind, mode in modes.items():
        path_of(kind).chmod(mode)
    folder.chmod(0o710)
    save(folder, ["new"])
    assert list(open_index(folder).texts) == ["new"]
    for kind, mode in modes.items():
        assert stat.S_IMODE(path_of(kind).stat().st_mode) == mode
    assert stat.S_IMODE(folder.stat().st_mode) == 0o710


@posix
@pytest.mark.parametrize("there", ["an index", "an empty folder", "nothing"])
def test_a_link_stays_a_link(tmp_path: Path, there: str) -> None:
    place = tmp_path / "disk" / "place"
    if there == "an index":
        save(place)
    elif there == "an empty folder":
        place.mkdir(parents=True)
    link = tmp_path / "index"
    link.symlink_to(place)
    save(link, ["new"])
    assert link.is_symlink()
    assert list(open_index(place).texts) == ["new"]
    assert names(tmp_path) == ["disk", "index"]
    assert names(tmp_path / "disk") == ["place"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs two users")
@pytest.mark.parametrize("name", ["", ".lock", "index.json"])
def test_another_users_link_in_a_shared_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    save(tmp_path / "victim")
    before = {path: path.read_bytes() for path in (tmp_path / "victim").iterdir()}
    shared = tmp_path / "shared"
    shared.mkdir()
    if name:
        save(shared)
        (shared / name).unlink()
    link = shared / (name or "index")
    link.symlink_to(tmp_path / "victim" / name)
    os.chown(link, 12345, 12345, follow_symlinks=False)
    shared.chmod(0o1777)
    with pytest.raises(OSError, match=r"link of another user|symbolic links|denied"):
        save(shared if name else link)
    assert {path: path.read_bytes() for path in (tmp_path / "victim").iterdir()} == before


def test_a_failure_after_index_json_is_in_place(folder: Path, monkeypatch: Any) -> None:
    """Which files then are the index, index.json says."""
    replace = os.replace

    def replace_and_fail(source: Any, target: Any) -> None:
        replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace_and_fail)
    with pytest.raises(KeyboardInterrupt):
        save(folder, ["new"])
    assert list(open_index(folder).texts) == ["new"]
    assert len(names(folder)) == 4


@posix
def test_all_is_on_the_disk_before_index_json_names_it(tmp_path: Path, monkeypatch: Any) -> None:
    """And the names of files and folders, which a crash of the system could lose otherwise."""
    synced: list[int] = []
    at_replacement: list[int] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    def noted_replace(source: Any, target: Any) -> None:
        at_replacement.extend([*synced, Path(source).stat().st_ino])
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    folder = tmp_path / "new" / "index"
    save(folder)
    data = {file_of(folder, kind).stat().st_ino for kind in ("vectors", "texts")}
    pointer = (folder / "index.json").stat().st_ino
    assert at_replacement[-1] == pointer
    assert data | {pointer, folder.stat().st_ino} <= set(at_replacement[:-1])
    after = synced[len(at_replacement) - 1 :]
    assert folder.stat().st_ino in after
    assert {folder.parent.stat().st_ino, tmp_path.stat().st_ino} <= set(synced)


# Readers beside writers.


def test_a_reader_that_is_overtaken_reads_again(folder: Path, monkeypatch: Any) -> None:
    open_stored = reader.open_stored
    saves = iter(range(3))

    def overtaken(path: Path) -> Any:
        if (number := next(saves, None)) is not None:
            save(folder, [f"generation {number}"] * number, first=number)
        return open_stored(path)

    monkeypatch.setattr(reader, "open_stored", overtaken)
    saved = open_index(folder)
    assert list(saved.texts) == ["generation 2"] * 2
    assert np.array_equal(saved.vectors, vectors_of(2, first=2))


def test_a_reader_that_is_overtaken_for_ever_gives_up(folder: Path, monkeypatch: Any) -> None:
    def overtaken(path: Path) -> Any:
        save(folder)
        raise FileNotFoundError(errno.ENOENT, "No such file", str(path))

    monkeypatch.setattr(reader, "open_stored", overtaken)
    monkeypatch.setattr(reader, "_MOST_TRIES", 5)
    with pytest.raises(SavedIndexError, match="is saved again and again"):
        open_index(folder)


@pytest.mark.parametrize("mapped", [True, False])
def test_onto_the_folder_it_was_loaded_from(tmp_path: Path, mapped: bool) -> None:
    model = SentenceTransformer()
    index = Index(model)
    index.add(["a cat", "a dog"])
    index.save(tmp_path / "index")
    for count in (2, 2, 3):
        loaded = Index.load(tmp_path / "index", model, mmap=mapped)
        if count == 3:
            loaded.add("a ship")
        loaded.save(tmp_path / "index")
        assert len(loaded.search("a cat")) == count, "what was loaded can be used still"
        again = Index.load(tmp_path / "index", model)
        assert again.search("a cat") == loaded.search("a cat")
    assert len(names(tmp_path / "index")) == 4 or os.name == "nt"


def test_threads_read_texts_at_once(folder: Path) -> None:
    save(folder, [str(row) for row in range(2000)])
    saved = open_index(folder)
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(list(saved.texts))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[str(row) for row in range(2000)]] * 4


# Damaged.


def opened(folder: Path, *, mapped: bool = True) -> SavedIndex:
    """Open an index and use all of it."""
    saved = open_index(folder, mmap=mapped)
    saved.vectors.sum()
    list(saved.texts)
    return saved


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("kind", ["vectors", "texts"])
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
    *(("format", value, "format is ") for value in (None, "2", 2.0, 0, 3, True, [2], 10**30)),
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
    *((f"{kind}", value, f"{kind} is ") for kind in ("vectors", "texts") for value in (1, None)),
    *(
        (f"{kind}.file", value, "file is ")
        for kind in ("vectors", "texts")
        for value in (None, 1, "", "index.json", "../x", f"notes-{'0' * 16}.npy", "/etc/passwd")
    ),
    *((f"{kind}.file", "OTHER", "file is ") for kind in ("vectors", "texts")),
    ("vectors.file", f"vectors-{'0' * 16}.npy", "is missing, expected what index.json names"),
    ("texts.file", f"texts-{'0' * 16}.jsonl", "is missing, expected what index.json names"),
    *(
        (f"{kind}.bytes", value, "bytes is ")
        for kind in ("vectors", "texts")
        for value in (None, -1, 1.0, "1")
    ),
    *(
        (f"{kind}.bytes", value, rf"{kind}-.*: (has|does)")
        for kind in ("vectors", "texts")
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
        *("format", "space_id", "options", "rows", "vectors", "texts"),
        *("options.precision", "options.truncate_dim", "options.normalize_embeddings"),
        *("vectors.file", "vectors.bytes", "texts.file", "texts.bytes"),
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
@pytest.mark.parametrize("kind", ["index.json", "vectors", "texts"])
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
