"""A Parquet dataset of the golden texts, and what one process makes of it."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from bge_micro import SentenceTransformer
from golden.make_digests import golden_texts

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "scale_out"
FILES = 5


def parquet_texts() -> list[str]:
    """Return the golden texts that Parquet can hold: those without lone surrogates."""
    return [text for text in golden_texts() if not re.search("[\ud800-\udfff]", text)]


def write_golden_texts(folder: Path) -> Path:
    """Write the golden texts to several files, of several row groups each, and number them."""
    folder.mkdir()
    rows = list(enumerate(parquet_texts()))
    for file in range(FILES):
        part = rows[file * len(rows) // FILES : (file + 1) * len(rows) // FILES]
        table = pyarrow.table({"id": [row for row, _ in part], "text": [text for _, text in part]})
        parquet.write_table(table, folder / f"part-{file}.parquet", row_group_size=20)
    return folder


def expected_bytes(**options: Any) -> dict[int, bytes]:
    """Return each golden text's vector as one process computes it, by the text's number."""
    vectors = SentenceTransformer().encode(
        parquet_texts(), **{"normalize_embeddings": True, **options}
    )
    return {row: vector.tobytes() for row, vector in enumerate(vectors)}


def bytes_by_id(folder: Path, dtype: str = "float32") -> dict[int, bytes]:
    """Read a dataset that a cluster wrote."""
    import numpy as np

    table = parquet.read_table(folder)
    columns = zip(table["id"].to_pylist(), table["embedding"].to_pylist(), strict=True)
    return {row: np.array(vector, dtype).tobytes() for row, vector in columns}


def example(name: str) -> Callable[..., None]:
    """Return the `embed` function of an example."""
    function: Callable[..., None] = runpy.run_path(str(EXAMPLES / name))["embed"]
    return function
