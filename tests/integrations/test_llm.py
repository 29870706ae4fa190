"""The plugin, found and run by the `llm` tool."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from api.child import run_child
from bge_micro import SentenceTransformer

pytest.importorskip("llm", reason="llm is not installed")

import llm
from click.testing import CliRunner
from llm.cli import cli


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    return tmp_path


def run(*arguments: str, stdin: str | None = None) -> str:
    result = CliRunner().invoke(cli, arguments, input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_models_are_registered() -> None:
    listed = run("embed-models", "list")
    assert "bge-micro-v2" in listed
    assert "bge-micro-v2-float32" in listed
    assert "bge-micro" in [plugin["name"] for plugin in json.loads(run("plugins"))]


@pytest.mark.parametrize(
    ("model_id", "compute_type"),
    [("bge-micro-v2", "int8"), ("bge-micro", "int8"), ("bge-micro-v2-float32", "float32")],
)
def test_from_python(model_id: str, compute_type: str, texts: list[str]) -> None:
    model = SentenceTransformer(compute_type=compute_type)
    expected = model.encode(texts, normalize_embeddings=True)
    embedding_model = llm.get_embedding_model(model_id)
    assert embedding_model.embed(texts[0]) == expected[0].tolist()
    assert list(embedding_model.embed_multi(iter(texts), batch_size=4)) == expected.tolist()
    with pytest.raises(ValueError, match="binary"):
        embedding_model.embed(b"bytes")


def test_on_the_command_line(home: Path, texts: list[str], vectors: NDArray[np.float32]) -> None:
    assert json.loads(run("embed", "-m", "bge-micro-v2", "-c", texts[0])) == vectors[0].tolist()
    lines = "".join(
        json.dumps({"id": str(row), "content": text}) + "\n" for row, text in enumerate(texts)
    )
    database = str(home / "texts.db")
    run("embed-multi", "texts", "-", "--format", "nl", "-d", database, "-m", "bge-micro-v2",
        "--store", stdin=lines)  # fmt: skip
    found = run("similar", "texts", "-d", database, "-n", "1", "-c", "a bakery makes bread")
    assert json.loads(found)["content"] == texts[3]


def test_llm_starts_without_numpy_for_our_sake() -> None:
    extra = run_child(
        """
        import json, sys
        import llm
        before = set(sys.modules)
        import bge_micro.integrations.llm
        print(json.dumps(sorted(set(sys.modules) - before)))
        """
    )
    assert "bge_micro.integrations.held" in extra
    assert not {"numpy", "tokenizers", "safetensors", "bge_micro._core"} & set(extra)
