"""Each row of docs/keywords.md is true: a keyword or method of sentence-transformers."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bge_micro import SentenceTransformer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "keywords.md"


class Row(NamedTuple):
    """A name in a table of the page."""

    section: str
    name: str
    verdict: str
    why: str


def read_page() -> list[Row]:
    """Return the rows of all tables, one for each name."""
    rows, section = [], ""
    for line in PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else ():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("| `"):
            names, verdict, why = (cell.strip() for cell in line.strip("|").split("|"))
            rows += [Row(section, name, verdict, why) for name in re.findall(r"`([\w.]+)`", names)]
    return rows


ROWS = read_page()

pytestmark = pytest.mark.skipif(not ROWS, reason="docs/keywords.md is part of a checkout only")


def has(row: Row, model: SentenceTransformer) -> bool:
    """Whether the class has what a row names: it may be used, and does not only raise."""
    if row.section == "Constructor":
        accepted: dict[str, dict[str, Any]] = {
            "backend": {"backend": "torch"},
            "model_kwargs": {"model_kwargs": {}},  # test_onnx_folder.py names an export
        }
        if row.name in accepted:
            return SentenceTransformer(**accepted[row.name]).device == "cpu"
        return row.name in inspect.signature(SentenceTransformer.__init__).parameters
    if row.section == "Keywords of other methods":
        name, _, keyword = row.name.partition(".")
        return keyword in inspect.signature(getattr(model, name)).parameters
    if row.section == "Methods and properties":
        method = getattr(model, row.name, None)
        if row.name.endswith("_multi_process_pool"):
            with pytest.raises(ValueError, match="process pools are not supported"):
                getattr(model, row.name)()
            return False
        return method is not None
    try:
        value: Any = {"inputs": "a", "prompt": "p", "prompt_name": "query", "output_value": None}
        value |= {"precision": "int8", "batch_size": 2, "device": "cpu", "truncate_dim": 2}
        options = {"inputs": "a", row.name: value.get(row.name, False)}
        for method in (model.encode, model.encode_query, model.encode_document):
            method(**options)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.section}-{row.name}")
def test_a_row_is_true(row: Row, model: SentenceTransformer) -> None:
    assert row.verdict in ("yes", "different", "no")
    assert row.why or row.verdict == "yes"
    assert has(row, model) == (row.verdict != "no")
    if row.section == "Constructor" and row.verdict == "no":
        with pytest.raises(ValueError, match=row.name):
            SentenceTransformer(**dict[str, Any]({row.name: {"a": 1}}))
