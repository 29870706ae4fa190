"""`bge-micro index` and `search`: what is found, how it is shown, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bge_micro import SentenceTransformer
from bge_micro.search import Index

from .conftest import Run

TEXTS = ["A cat sleeps", "The dog\tbarks", "Stocks fell", "A kitten\x1b[31m on a sofa"]
LINES = "".join(f"{text}\n" for text in TEXTS)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "in.txt"
    path.write_text(LINES)
    return path


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("saved", ["in.txt", "v.npz", "v.safetensors", "v.parquet", "index"])
def test_every_kind_of_corpus(
    run: Run, tmp_path: Path, model: SentenceTransformer, saved: str
) -> None:
    if saved.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="Parquet needs the extra bge-micro[arrow]")
    if saved == "index":
        assert run("index", "-i", "in.txt", "-o", saved, "--batch-size", "3").code == 0
    elif saved != "in.txt":
        assert run("embed", "-i", "in.txt", "-o", saved).code == 0
    index = Index(model)
    index.add(TEXTS)
    result = run("search", "feline", "markets", "-i", saved, "-k", "2")
    assert (result.code, result.err) == (0, "")
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert [(row[0], row[1]) for row in rows] == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")]
    expected = [hit for hits in index.search(["feline", "markets"], 2) for hit in hits]
    assert [int(row[3]) for row in rows] == [hit.row for hit in expected]
    assert [float(row[2]) for row in rows] == pytest.approx(
        [hit.score for hit in expected], abs=2e-6
    )
    if saved in ("in.txt", "index"):
        assert rows[0][4] in ("A kitten\x1b[31m on a sofa", "A cat sleeps")
    else:
        assert {row[4] for row in rows} == {""}


def test_json_and_queries_from_a_pipe(run: Run, corpus: Path) -> None:
    result = run(
        "search", "-", "-i", corpus.name, "--json", "-k", "9", stdin=b"dog\n\nm\xc3\xa9ow\n"
    )
    found = [json.loads(line) for line in result.out.splitlines()]
    assert [hits["query"] for hits in found] == ["dog", "méow"]
    assert found[0]["hits"][0]["text"] == "The dog\tbarks"
    assert sorted(hit["row"] for hit in found[0]["hits"]) == [0, 1, 2, 3]


def test_list_for_people(run: Run, corpus: Path) -> None:
    result = run("search", "kitten", "-i", corpus.name, "-k", "1", columns=30)
    assert result.out.endswith("        3  A kitten ...\n")
    assert len(result.out) == 31
    result = run("search", "kitten", "dog", "-i", corpus.name, "-k", "1", columns=80)
    assert result.out.splitlines()[0] == "> kitten"
    assert "\x1b" not in result.out


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_small_vectors(run: Run, corpus: Path, precision: str) -> None:
    options = ["--precision", precision, "--truncate-dim", "128"]
    assert run("index", "-i", corpus.name, "-o", "small", *options).code == 0
    result = run("search", TEXTS[2], "-i", "small", "-k", "1")
    assert result.out == f"1\t1\t1.000000\t2\t{TEXTS[2]}\n"
    assert run("embed", "-i", corpus.name, "-o", "v.npz", *options).code == 0
    assert run("search", TEXTS[2], "-i", "v.npz", "-k", "1").out == "1\t1\t1.000000\t2\t\n"


def test_vectors_of_another_model_are_refused(run: Run, corpus: Path) -> None:
    assert run("index", "-i", corpus.name, "-o", "index").code == 0
    assert run("embed", "-i", corpus.name, "-o", "v.npz").code == 0
    for saved in ("index", "v.npz"):
        result = run("search", "a", "-i", saved, "--compute-type", "float32")
        assert (result.code, result.out) == (1, "")
        assert "the vectors are not of this model: compute is int8 there and float" in result.err


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["search", "a"], 2, "search looks through a file: give -i FILE"),
        (["search", "-", "-i", "-"], 2, "cannot be both the queries and the texts"),
        (["search", "a", "-i", "in.txt", "--prompt", "x"], 2, "unrecognized arguments: --prompt"),
        (["search", "-i", "in.txt"], 2, "no query: give QUERY arguments, or - for lines of"),
        (["search", "a", "-i", "in.txt", "-k", "0"], 2, "argument -k: '0' is not a positive"),
        (["search", "a", "-i", "v.npy"], 2, "v.npy does not say of which model its vectors are"),
        (["search", "a", "-i", "none.txt"], 1, "none.txt: No such file or directory"),
        (["search", "a", "-i", "none.npz"], 1, "none.npz: No such file or directory"),
        (["search", "a", "-i", "."], 1, "index.json: No such file or directory"),
        (["index", "a"], 2, "the following arguments are required: -o/--output"),
        (["index", "a", "-o", "in.txt"], 1, "in.txt: exists and is no index"),
    ],
)
@pytest.mark.usefixtures("corpus")
def test_what_makes_no_sense(run: Run, argv: list[str], code: int, message: str) -> None:
    result = run(*argv)
    assert (result.code, result.out) == (code, "")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_an_empty_corpus(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("")
    result = run("search", "a", "-i", "in.txt")
    assert (result.code, result.out) == (0, "")
    assert "in.txt: holds no texts." in result.err


def test_a_failure_leaves_the_old_index(run: Run, tmp_path: Path, corpus: Path) -> None:
    assert run("index", "-i", corpus.name, "-o", "index").code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "index").iterdir()}
    result = run("index", "-", "-o", "index", stdin=b"good\n\xff\n")
    assert result.code == 1
    assert {path.name: path.read_bytes() for path in (tmp_path / "index").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "index"]


@pytest.mark.parametrize("file", ["index.json", "vectors", "texts"])
def test_a_damaged_index_is_one_line_of_error(
    run: Run, tmp_path: Path, corpus: Path, file: str
) -> None:
    assert run("index", "-i", corpus.name, "-o", "index").code == 0
    (path,) = (tmp_path / "index").glob(f"{file}*")
    whole = path.read_bytes()
    for content in (b"", b"\x1b[31m" * 200, whole[:-2], whole[1:] + b"\n"):
        path.write_bytes(content)
        result = run("search", "kitten", "-i", "index")
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith(f"bge-micro: error: index/{path.name}: ")
        assert result.err.count("\n") == 1
        assert result.err.rstrip("\n").isprintable()
        assert "anew" in result.err


def test_an_index_that_another_process_writes(run: Run, tmp_path: Path, corpus: Path) -> None:
    from bge_micro.search.saved.lock import writer_lock

    assert run("index", "-i", corpus.name, "-o", "index").code == 0
    with writer_lock(tmp_path / "index"):
        result = run("index", "-i", corpus.name, "-o", "index")
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith("bge-micro: error: index: another process is writing this")
        assert run("search", "kitten", "-i", "index").code == 0
    assert run("index", "-i", corpus.name, "-o", "index").code == 0


@pytest.mark.parametrize("prompt", ["", "passage: "])
def test_an_index_records_the_prompt(
    run: Run, corpus: Path, model: SentenceTransformer, prompt: str
) -> None:
    assert run("index", "-i", corpus.name, "-o", "index", "--prompt", prompt).code == 0
    loaded = Index.load("index", model)
    assert loaded.prompt == prompt
    expected = model.encode(TEXTS, prompt=prompt, normalize_embeddings=True)
    assert loaded.vectors.tobytes() == expected.tobytes()
