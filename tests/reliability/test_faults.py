"""Full disks, read-only folders, killed writers: whole or not at all."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.child import run_child
from bge_micro import SentenceTransformer
from bge_micro.atomic import whole
from bge_micro.convert import convert_folder
from bge_micro.search import Index

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX limits and signals")


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


# A limit on the size of files has the effect of a full disk, for one process.
LIMITED = """
    import json, resource, sys
    sys.dont_write_bytecode = True  # it would be cut off, too
    from bge_micro import SentenceTransformer
    from bge_micro.convert import convert_folder

    def work():
        WORK

    sys.dont_write_bytecode = True  # a cut .pyc would outlive the limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, MOST))
    try:
        work()
        print(json.dumps("done"))
    except OSError as error:
        print(json.dumps(str(error)))
"""


def with_limit(work: str, limit: int) -> str:
    program = textwrap.dedent(LIMITED).replace("MOST", str(limit))
    found: str = run_child(program.replace("WORK", work))
    return found


@pytest.mark.parametrize("limit", [0, 100, 5_000, 60_000])
@pytest.mark.parametrize(
    "work",
    [
        "convert_folder(r'TINY', r'OUT')",
        "convert_folder(r'TINY', r'OUT', compute_type='float32')",
        "SentenceTransformer(r'TINY').save_pretrained(r'OUT')",
    ],
)
def test_no_room_for_a_folder(tiny: Path, tmp_path: Path, work: str, limit: int) -> None:
    out = tmp_path / "out"
    message = with_limit(work.replace("TINY", str(tiny)).replace("OUT", str(out)), limit)
    assert "File too large" in message
    assert re.search(rf"'{out}(/[\w.]+)*'", message), "the message names the file that did not fit"
    assert not out.exists()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("there_before", [False, True])
def test_no_room_for_an_index(tiny: Path, tmp_path: Path, there_before: bool) -> None:
    out = tmp_path / "index"
    build = (
        f"from bge_micro.search import Index; index = Index(SentenceTransformer(r'{tiny}')); "
        f"index.add(['a b', 'c d'] * 40); index.save(r'{out}')"
    )
    if there_before:
        assert with_limit(build.replace("* 40", ""), 1 << 20) == "done"
        before = {path.name: path.read_bytes() for path in out.iterdir()}
    message = with_limit(build, 2000)
    assert "File too large" in message
    assert str(out) in message, "the message names the file"
    assert leftovers(tmp_path) == []
    if there_before:
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    else:
        assert not out.exists()


def test_an_index_that_cannot_take_its_name(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(SentenceTransformer(tiny))
    index.add(["a b"])
    index.save(tmp_path / "index")
    index.add(["c d"])

    def refuse(source: Path, target: Path) -> None:
        raise OSError(5, "Input/output error", str(target))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        index.save(tmp_path / "index")
    assert list(Index.load(tmp_path / "index", index.model).texts) == ["a b"]
    assert len(list((tmp_path / "index").iterdir())) == 4
    assert leftovers(tmp_path) == []


def embed(*arguments: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run `bge-micro embed`, at most `limit` bytes a file."""
    program = f"""
        import resource, sys
        sys.dont_write_bytecode = True
        if {limit}:
            resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        from bge_micro.cli import main
        sys.exit(main({list(arguments)!r}))
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["vectors.npy", "vectors.npz", "vectors.jsonl"])
def test_no_room_for_vectors(tiny: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    out.write_bytes(b"what stood there before")
    texts = ["a b c"] * 100
    done = embed("embed", "--model", str(tiny), "-o", str(out), *texts, limit=4096)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == f"bge-micro: error: {out}: File too large"
    assert out.read_bytes() == b"what stood there before"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_standard_output_is_full(tiny: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bge_micro", "embed", "--model", str(tiny), "a b", "c"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_read_only_cache(tiny: Path, tmp_path: Path) -> None:
    commit = "0123456789" * 4
    repository = tmp_path / "hub/models--org--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    (repository / "snapshots").mkdir()
    tiny.rename(repository / "snapshots" / commit)
    everything = [tmp_path / "hub", *(tmp_path / "hub").rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for folder in [tmp_path, *tmp_path.parents]:  # which pytest keeps to itself
        if folder.stat().st_mode & 0o005 == 0o005:
            break
        folder.chmod(0o755)
    program = f"""
        import json, os
        import bge_micro.checkpoint.hub, bge_micro.quantize  # as long as that may be read
        from bge_micro import SentenceTransformer
        SentenceTransformer().encode("a")  # what is imported on first use
        if os.geteuid() == 0:  # who may write everywhere
            os.setgid(65534)
            os.setuid(65534)
        model = SentenceTransformer("org/name", cache_folder={str(tmp_path / "hub")!r})
        print(json.dumps(model.encode(["a b", "c"]).shape))
    """
    try:
        assert run_child(program) == [2, 64]
        assert sorted([tmp_path / "hub", *(tmp_path / "hub").rglob("*")]) == sorted(everything)
    finally:
        for path in everything:
            path.chmod(0o755)


def killed_at_random(program: str, attempts: int, most_seconds: float) -> Iterator[int]:
    """Run a program again and again and kill it at some moment; yield its exit codes."""
    rng = random.Random(6)
    for _ in range(attempts):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert child.stdout
        child.stdout.readline()  # it begins
        time.sleep(rng.random() * most_seconds)
        child.kill()
        child.communicate()
        yield child.returncode


def test_killed_while_converting(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    expected = {
        path.relative_to(tmp_path / "reference"): path.read_bytes()
        for path in convert_folder(tiny, tmp_path / "reference").rglob("*")
        if path.is_file()
    }
    program = f"""
        import time
        from bge_micro.convert import convert_folder
        convert_folder({str(tiny)!r}, {str(tmp_path)!r} + "/warm-" + str(time.time_ns()))
        print("begins", flush=True)
        convert_folder({str(tiny)!r}, {str(out)!r})
        time.sleep(600)
    """
    for code in killed_at_random(program, 12, 0.03):
        assert code == -signal.SIGKILL
        if out.exists():
            found = {
                path.relative_to(out): path.read_bytes()
                for path in out.rglob("*")
                if path.is_file()
            }
            assert found == expected
            shutil.rmtree(out)
    # The files of a killed run disturb no other run; they are removed when it is surely dead.
    assert all(name.endswith(".partial") for name in leftovers(tmp_path))
    monkeypatch.setattr(whole, "_LEFTOVER_SECONDS", 0.0)
    convert_folder(tiny, out)
    assert leftovers(tmp_path) == []
    assert SentenceTransformer(out).encode("a").shape == (64,)


def test_two_processes_convert_into_one_folder(tiny: Path, tmp_path: Path) -> None:
    program = f"""
        import json, sys
        from bge_micro.convert import convert_folder
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            convert_folder({str(tiny)!r}, {str(tmp_path / "out")!r})
            print("done")
        except FileExistsError as error:
            print(error)
    """
    for round_number in range(3):
        out = tmp_path / "out"
        if round_number == 1:
            out.mkdir()  # an empty folder may be written to
        children = [
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(program)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        for child in children:
            assert child.stdout
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin
            child.stdin.write("\n")
            child.stdin.flush()
        answers = [child.communicate(timeout=600)[0].strip() for child in children]
        assert [child.returncode for child in children] == [0] * 3
        assert answers.count("done") == 1, answers
        others = [answer for answer in answers if answer != "done"]
        assert all("out: " in answer for answer in others), answers
        assert SentenceTransformer(out).encode("a").shape == (64,)
        assert leftovers(tmp_path) == []
        shutil.rmtree(out)
