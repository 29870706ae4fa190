"""The Python code blocks of the README and of the documentation run as written."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("**/*.md"))]


def python_blocks(page: Path) -> list[tuple[int, str]]:
    """Return each Python block of a page, and the number of the line before it."""
    text = page.read_text(encoding="utf-8")
    blocks = re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, block.start(1)), block.group(1)) for block in blocks]


BLOCKS = [
    pytest.param(page, line, block, id=f"{page.name}:{line + 1}")
    for page in PAGES
    for line, block in python_blocks(page)
]


def run_block(page: Path, line: int, block: str) -> dict[str, object]:
    """Run a block, and return its names; skip it if a package that it needs is not installed."""
    names: dict[str, object] = {"__name__": "example"}
    try:
        exec(compile("\n" * line + block, str(page), "exec"), names)
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if not package or importlib.util.find_spec(package) is not None:
            raise
        pytest.skip(f"{package} is not installed")
    except OSError as error:
        # transformers' words; one page compares with the original model.
        if "couldn't find them in the cached files" not in str(error):
            raise
        pytest.skip("the hub cannot be reached")
    return names


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 3


@pytest.mark.filterwarnings("ignore::ImportWarning")  # from umap, about a missing optional package
@pytest.mark.parametrize(("page", "line", "block"), BLOCKS)
def test_the_block_runs(
    page: Path, line: int, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if page.name == "notes.md":  # which shows what is done with this example
        shutil.copytree(REPOSITORY / "examples" / "notes", "notes")
    run_block(page, line, block)


def test_pooling_by_hand_is_what_encode_does() -> None:
    from bge_micro import SentenceTransformer

    (names,) = (
        run_block(page, line, block)
        for page in PAGES
        for line, block in python_blocks(page)
        if "def mean_pooling" in block
    )
    expected = SentenceTransformer().encode(names["sentences"])
    assert abs(names["sentence_embeddings"] - expected).max() < 1e-5  # type: ignore[operator]
