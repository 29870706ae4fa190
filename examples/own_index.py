"""Exact search by this package: add, save, load, search."""

from __future__ import annotations

import tempfile
from pathlib import Path

from corpus import QUERY, TEXTS

from bge_micro import SentenceTransformer
from bge_micro.search import Index


def main() -> list[int]:
    """Return the rows found, best first."""
    model = SentenceTransformer()
    index = Index(model, precision="int8")
    index.add(TEXTS)
    with tempfile.TemporaryDirectory() as folder:
        index.save(Path(folder) / "index")
        loaded = Index.load(Path(folder) / "index", model)  # refuses another model's vectors
        hits = loaded.search(QUERY, 3)
    for hit in hits:
        print(f"{hit.score:.4f}  {hit.text}")
    return [hit.row for hit in hits]


if __name__ == "__main__":
    main()
