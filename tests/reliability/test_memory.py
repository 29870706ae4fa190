"""Bounded workspaces, memory that does not grow, and MemoryError without free memory."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from api.child import run_child
from api.tiny_model import write_tiny_model
from bge_micro import MemoryUsage, SentenceTransformer
from reliability.soak import COUNTS

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc, sets limits")

LONG = "word " * 600  # more than 512 tokens
# For programs that import this folder's modules.
SEE_TESTS = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture
def model() -> SentenceTransformer:
    return SentenceTransformer(threads=1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def test_what_a_model_holds(model: SentenceTransformer) -> None:
    usage = model.memory_usage()
    assert isinstance(usage, MemoryUsage)
    # The linears' 5.3 M weights are a byte each; the words' 11.7 M too, the positions' four.
    assert 5_300_000 < usage.packed < 7_500_000
    assert 17_500_000 < usage.checkpoint < 18_500_000
    assert usage.workspaces == 0
    floats = SentenceTransformer(compute_type="float32").memory_usage()
    assert floats.packed > 21_000_000


def asked_for_huge_pages() -> int:
    """Return the bytes of this process's memory for which Linux is asked for huge pages."""
    total = size = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.startswith("Size:"):
            size = int(line.split()[1]) * 1024
        elif line.startswith("VmFlags:") and "hg" in line.split():
            total += size
    return total


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="no huge pages to ask for"
)
def test_packed_weights_ask_for_huge_pages() -> None:
    before = asked_for_huge_pages()
    model = SentenceTransformer(threads=1)
    huge_page = 2 << 20
    packed = model.memory_usage().packed
    assert asked_for_huge_pages() - before >= packed // huge_page * huge_page > 0
    model.encode("a few words")  # a short text's workspace is small
    assert model.memory_usage().workspaces < huge_page
    del model
    gc.collect()
    assert asked_for_huge_pages() <= before


def test_workspaces_depend_on_the_longest_text_not_on_how_many(model: SentenceTransformer) -> None:
    model.encode("a few words")
    short = model.memory_usage().workspaces
    model.encode(["a few words"] * 3)
    model.encode(LONG)
    long = model.memory_usage().workspaces
    assert 0 < short < long < 8_000_000
    model.encode([LONG] * 3 + ["a few words"] * 3000)
    assert model.memory_usage().workspaces == long
    model.encode([LONG] * 6, threads=3)
    assert long < model.memory_usage().workspaces <= 3 * long


def test_workspaces_are_as_many_as_were_at_work_at_once(model: SentenceTransformer) -> None:
    model.encode(LONG)
    one = model.memory_usage().workspaces
    at_work = [threading.Thread(target=model.encode, args=([LONG] * 2,)) for _ in range(4)]
    for _ in range(3):
        for thread in at_work:
            thread.start()
        for thread in at_work:
            thread.join()
        at_work = [threading.Thread(target=model.encode, args=([LONG] * 2,)) for _ in range(4)]
    assert one <= model.memory_usage().workspaces <= 4 * one


def test_trim(model: SentenceTransformer) -> None:
    expected = model.encode(["a text", LONG])
    packed = model.memory_usage().packed
    model.trim()
    assert model.memory_usage() == MemoryUsage(model.memory_usage().checkpoint, packed, 0)
    assert model.encode(["a text", LONG]).tobytes() == expected.tobytes()
    model.trim()
    model.trim()


def test_trim_while_others_encode(model: SentenceTransformer) -> None:
    texts = [LONG, "a text", "another one of some more words"]
    expected = model.encode(texts).tobytes()
    over = threading.Event()

    def trim() -> None:
        while not over.is_set():
            model.trim()
            assert model.memory_usage().workspaces < 100_000_000

    trimmer = threading.Thread(target=trim)
    trimmer.start()
    try:
        for threads in (1, 2, 3) * 5:
            assert model.encode(texts, threads=threads).tobytes() == expected
    finally:
        over.set()
        trimmer.join()
    model.trim()
    assert model.memory_usage().workspaces == 0


@linux_only
def test_trimmed_memory_goes_back_to_the_system() -> None:
    program = """
        import json
        from bge_micro import SentenceTransformer
        from reliability.soak import resident_kb

        model = SentenceTransformer()
        model.encode("warm")
        model.trim()
        before = resident_kb()
        held = 0
        for _ in range(100):  # on a busy machine one thread may do it all
            model.encode(["word " * 600] * 24, threads=6)
            during, held = resident_kb(), model.memory_usage().workspaces // 1024
            if held > 10_000:
                break
        model.trim()
        print(json.dumps([held, during - before, during - resident_kb()]))
    """
    held, grown, freed = run_child(program, environ=SEE_TESTS)
    assert held > 10_000
    assert grown >= held * 0.8
    assert freed >= held * 0.8


def soak(*arguments: str) -> list[int]:
    """Run soak.py; return the resident memory, in KB, after each tenth of the work."""
    done = subprocess.run(
        [sys.executable, "-m", "reliability.soak", *arguments],
        env={**os.environ, **SEE_TESTS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    resident: list[int] = json.loads(done.stdout)["resident_kb"]
    return resident


def assert_flat(allowed_kb: int, *arguments: str) -> None:
    """Compare the second half of a run with its first.

    Threads that meet by chance need more; a leak shows in each of three runs.
    """
    for _ in range(3):
        resident = soak(*arguments)
        if max(resident[5:]) - max(resident[:5]) <= allowed_kb:
            return
    pytest.fail(f"memory grows: {resident}")


@linux_only
@pytest.mark.parametrize(("what", "count"), [("texts", 8000), ("threads", 800), ("loads", 150)])
def test_nothing_grows(what: str, count: int, tiny: Path) -> None:
    # A leak of 64 bytes an item would not show in so few; what the slow test allows does.
    assert_flat(1024, what, str(count), "--folder", str(tiny))


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize("what", COUNTS)
def test_nothing_grows_in_the_long_run(what: str) -> None:
    assert_flat(2048, what)


# Address space is cut to so much more than is in use, step by step, and each time an encoding or a
# load either fails with MemoryError or gives what it should. Tokenizing is left out: Rust's
# allocator ends the process, whatever we do.
STARVED = """
    import json, resource
    import numpy as np
    from bge_micro import _core
    from bge_micro.checkpoint import bundled_folder, load_folder

    def address_space():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()

    def outcome(work, extra):
        core.trim()
        resource.setrlimit(resource.RLIMIT_AS, (address_space() + extra, hard))
        try:
            result = work()
        except MemoryError:
            return "MemoryError"
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        return "equal" if result == expected else "other vectors"

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    checkpoint = load_folder(bundled_folder(), mmap=True)
    config, tensors = checkpoint.config, checkpoint.tensors
    core = _core.Engine(config, tensors, "int8")
    lengths = [2, 300, 17, 512]
    ids = np.random.default_rng(0).integers(0, 30000, sum(lengths)).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    out = np.empty((len(lengths), 384), np.float32)

    def encode(model=core, threads=1):
        out.fill(np.nan)
        model.encode(ids, offsets, pooling="mean", dimensions=384, normalize=False,
                     precision="float32", threads=threads, vectors=out)
        return out.tobytes()

    def load():
        model = _core.Engine(config, tensors, "int8")
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        return encode(model)

    expected = encode()
    found = {}
    for name, work, most in (
        ("load", load, 12 << 20),
        ("one thread", encode, 12 << 20),
        ("three threads", lambda: encode(threads=3), 48 << 20),
    ):
        found[name] = sorted({outcome(work, most * step // 20) for step in range(21)})
    found["afterwards"] = encode() == encode(threads=3) == expected
    print(json.dumps(found))
"""


@linux_only
def test_without_memory_there_is_memory_error() -> None:
    # Large pieces are mapped each by itself, so that what is freed is not there for the next try;
    # nor is the address space that a thread's own heap has reserved.
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    found = run_child(STARVED, environ=settings, timeout=600)
    both = ["MemoryError", "equal"]
    assert found == {"load": both, "one thread": both, "three threads": both, "afterwards": True}
