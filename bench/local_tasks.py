"""Give mteb's tasks their data from local JSONL instead of the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict


def load_local(task: Any, folder: Path) -> None:
    """Load a task's data: pairs with scores, texts with labels, or a corpus with queries.

    Args:
        task: A task of mteb, not loaded yet.
        folder: Its JSONL files, as quality.py describes them.

    Raises:
        FileNotFoundError: A file is missing.
    """
    if (folder / "corpus.jsonl").exists():
        task.dataset = {"default": {"test": _retrieval(folder)}}
    else:
        splits = {name: folder / f"{name}.jsonl" for name in ("train", "test")}
        task.dataset = DatasetDict(
            {
                name: Dataset.from_list(rows(path))
                for name, path in splits.items()
                if name == "test" or path.exists()
            }
        )
    task.data_loaded = True


def rows(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL file of objects."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _retrieval(folder: Path) -> dict[str, Any]:
    corpus, queries = (
        [
            {"id": row["_id"], "title": row.get("title", ""), "text": row["text"]}
            for row in rows(folder / f"{name}.jsonl")
        ]
        for name in ("corpus", "queries")
    )
    relevant: dict[str, dict[str, int]] = {}
    for row in rows(folder / "qrels.jsonl"):
        relevant.setdefault(row["qid"], {})[row["did"]] = int(row["score"])
    wanted = [{"id": q["id"], "text": q["text"]} for q in queries if q["id"] in relevant]
    return {
        "corpus": Dataset.from_list(corpus),
        "queries": Dataset.from_list(wanted),
        "relevant_docs": relevant,
        "top_ranked": None,
    }
