"""Prompts of `bge-micro search` and `index`: for queries and documents, as in the class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from bge_micro.search.saved import INDEX_FILE, open_index

from .conftest import Run

TEXTS = ["a cat sleeps", "shares fell", "a dog barks"]
QUERY = "my pet"


@pytest.fixture
def prompted(tmp_path: Path, model: SentenceTransformer) -> SentenceTransformer:
    """Return a model with prompts of its own: the folder "prompted", beside texts in in.txt."""
    model.save_pretrained(tmp_path / "prompted")
    file = tmp_path / "prompted" / "config_sentence_transformers.json"
    said = json.loads(file.read_text()) if file.exists() else {}
    said["prompts"] = {"query": "find: ", "document": "page: ", "other": "about: "}
    said["default_prompt_name"] = "other"
    file.write_text(json.dumps(said))
    (tmp_path / "in.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    return SentenceTransformer(str(tmp_path / "prompted"))


def scores(run: Run, *options: str) -> list[float]:
    result = run("search", QUERY, "--model", "prompted", "--json", "-k", "3", *options)
    assert result.code == 0, result.err
    hits = json.loads(result.out)["hits"]
    return [hit["score"] for hit in sorted(hits, key=lambda hit: hit["row"])]


def expected(model: SentenceTransformer, query: str, document: str) -> list[float]:
    asked = model.encode([QUERY], prompt=query, normalize_embeddings=True)
    found = model.encode(TEXTS, prompt=document, normalize_embeddings=True)
    values: list[float] = (asked @ found.T)[0].tolist()
    return values


@pytest.mark.parametrize(
    ("options", "query", "document"),
    [
        ([], "find: ", "page: "),
        (["--query-prompt", "q "], "q ", "page: "),
        (["--document-prompt", "d "], "find: ", "d "),
        (["--query-prompt", "", "--document-prompt", ""], "", ""),
        (["--query-prompt-name", "other"], "about: ", "page: "),
        (["--document-prompt-name", "other"], "find: ", "about: "),
    ],
)
def test_of_texts(
    run: Run, prompted: SentenceTransformer, options: list[str], query: str, document: str
) -> None:
    found = scores(run, "-i", "in.txt", *options)
    assert found == pytest.approx(expected(prompted, query, document), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "document"), [([], "page: "), (["--prompt", "d "], "d "), (["--prompt", ""], "")]
)
def test_an_index_remembers(
    run: Run, prompted: SentenceTransformer, options: list[str], document: str
) -> None:
    assert run("index", "-i", "in.txt", "-o", "index", "--model", "prompted", *options).code == 0
    assert open_index("index").prompt == document
    for same in ([], ["--document-prompt", document]):
        found = scores(run, "-i", "index", "--query-prompt", "q ", *same)
        assert found == pytest.approx(expected(prompted, "q ", document), abs=1e-5)
    other = run("search", "a", "-i", "index", "--model", "prompted", "--document-prompt", "other")
    assert other.code == 2
    assert f"the prompt of the texts in index is {document!r}" in other.err


@pytest.mark.usefixtures("prompted")
def test_where_a_document_prompt_cannot_take_effect(run: Run, tmp_path: Path) -> None:
    assert run("embed", "-i", "in.txt", "-o", "v.npz").code == 0
    assert run("index", "-i", "in.txt", "-o", "index").code == 0
    facts = tmp_path / "index" / INDEX_FILE
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "prompt": None}))
    for saved, why in (("v.npz", "holds vectors"), ("index", "is not recorded")):
        result = run("search", "a", "-i", saved, "--document-prompt", "x")
        assert result.code == 2
        assert why in result.err
        assert run("search", "a", "-i", saved, "--query-prompt", "x").code == 0


@pytest.mark.usefixtures("prompted")
def test_a_name_that_the_model_lacks(run: Run) -> None:
    for kind in ("query", "document"):
        result = run("search", "a", "-i", "in.txt", f"--{kind}-prompt-name", "none")
        assert result.code == 1
        assert "prompts of this model" in result.err


@pytest.mark.parametrize("saved", ["in.txt", "-", "index"])
def test_blank_texts_are_left_out_and_rows_keep_their_numbers(
    run: Run, tmp_path: Path, saved: str
) -> None:
    lines = "\na cat\n \t\nshares\n"
    (tmp_path / "in.txt").write_text(lines)
    assert run("index", "-i", "in.txt", "-o", "index").code == 0
    stdin = lines.encode() if saved == "-" else b""
    result = run("search", "a kitten", "-i", saved, stdin=stdin)
    rows = [line.split("\t")[3:] for line in result.out.splitlines()]
    assert rows == [["1", "a cat"], ["3", "shares"]]


def test_embed_keeps_a_vector_a_line_unless_told(run: Run) -> None:
    for options, rows in (([], [0, 1, 2]), (["--skip-blank"], [0, 2])):
        result = run("embed", "-", *options, stdin=b"a\n \nb\n")
        assert [json.loads(line)["index"] for line in result.out.splitlines()] == rows


def test_similarity_takes_skip_blank(run: Run) -> None:
    result = run("similarity", "-", "--skip-blank", stdin=b"a\n\nb\n")
    assert np.array([line.split("\t") for line in result.out.splitlines()]).shape == (2, 2)
