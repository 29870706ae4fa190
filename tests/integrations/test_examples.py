"""Every example runs against the real package, and finds what exact search finds."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from bge_micro import SentenceTransformer
from bge_micro.search import top_k

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# The package that an example is about; where it is missing, the test is skipped and says so.
NEEDS = {
    "own_index": "bge_micro",
    "usearch_index": "usearch",
    "faiss_index": "faiss",
    "sqlite_vec_table": "sqlite_vec",
    "duckdb_table": "duckdb",
}

if not EXAMPLES.is_dir():
    pytest.skip("the examples are part of a checkout only", allow_module_level=True)


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def test_every_example_is_tested() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")} - {"corpus"}
    assert names == set(NEEDS)
    shown = re.findall(r"\]\((\w+)\.py\)", (EXAMPLES / "README.md").read_text(encoding="utf-8"))
    assert set(shown) == names


@pytest.mark.filterwarnings("default")  # those of other packages are their business
@pytest.mark.parametrize("name", NEEDS)
def test_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} is missing: bge-micro[vector-stores]")
    corpus = importlib.import_module("corpus")
    sys.modules.pop(name, None)
    rows = importlib.import_module(name).main()
    model = SentenceTransformer()
    expected = top_k(model.encode(corpus.QUERY), model.encode(corpus.TEXTS), 3).indices.tolist()
    assert rows[0] == expected[0] == 0
    assert sorted(rows) == sorted(expected)
    assert corpus.TEXTS[0] in capsys.readouterr().out
