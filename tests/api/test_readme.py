"""The README's Python runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("block", BLOCKS)
def test_the_block_runs(block: str) -> None:
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_pooling_by_hand_is_what_encode_does() -> None:
    names: dict[str, object] = {"__name__": "readme"}
    block = next(block for block in BLOCKS if "mean_pooling" in block)
    exec(compile(block, "README.md", "exec"), names)
    from bge_micro import SentenceTransformer

    expected = SentenceTransformer().encode(names["sentences"])
    assert abs(names["sentence_embeddings"] - expected).max() < 1e-5  # type: ignore[operator]
