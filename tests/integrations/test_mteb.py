"""The encoder for mteb, and the quality harness, through the real mteb on tasks of local data."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from bge_micro.integrations.mteb import MtebEncoder

REPOSITORY = Path(__file__).resolve().parents[2]
PAIRS = [
    ("A man is playing a guitar.", "Someone plays the guitar.", 4.6),
    ("A man is playing a guitar.", "The stock market fell today.", 0.1),
    ("The cat sleeps on the sofa.", "A cat is asleep on a couch.", 4.8),
    ("The cat sleeps on the sofa.", "Dogs are running on the beach.", 1.2),
    ("It rains heavily in London.", "Heavy rain falls on London.", 4.9),
]


@pytest.fixture(scope="module")
def quality() -> Iterator[ModuleType]:
    """Import bench/quality.py, or skip."""
    for name in ("mteb", "datasets", "yaml"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}, of the extra bge-micro[quality]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield importlib.import_module("bench.quality")


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.filterwarnings("ignore")
def test_a_similarity_task(quality: ModuleType, tmp_path: Path) -> None:
    pairs = [dict(zip(("sentence1", "sentence2", "score"), pair, strict=True)) for pair in PAIRS]
    write_rows(tmp_path / "STSBenchmark/test.jsonl", pairs)
    encoder = MtebEncoder()
    metric, score = quality.run(encoder, "STSBenchmark", tmp_path)
    first, second = (encoder.model.encode([pair[side] for pair in PAIRS]) for side in (0, 1))
    cosines = encoder.model.similarity_pairwise(first, second)
    ranks = [np.argsort(np.argsort(values)) for values in (cosines, [pair[2] for pair in PAIRS])]
    assert metric == "cosine_spearman"
    assert score == pytest.approx(100 * np.corrcoef(*ranks)[0, 1])


@pytest.mark.usefixtures("quality")
def test_the_command(tmp_path: Path) -> None:
    """In a new process, so that nothing hides the packages that mteb imports."""
    pairs = [dict(zip(("sentence1", "sentence2", "score"), pair, strict=True)) for pair in PAIRS]
    write_rows(tmp_path / "STSBenchmark/test.jsonl", pairs)
    command = [sys.executable, "-W", "ignore", "-m", "bench.quality", "--tasks", "STSBenchmark"]
    result = subprocess.run(
        [*command, "--data", str(tmp_path), "--out", str(tmp_path / "table.md")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    assert "| STSBenchmark | cosine_spearman |" in result.stdout
    assert (tmp_path / "table.md").read_text() == result.stdout


@pytest.mark.filterwarnings("ignore")
def test_a_retrieval_task(quality: ModuleType, tmp_path: Path) -> None:
    documents = sorted({pair[1] for pair in PAIRS})
    corpus = [{"_id": str(n), "title": "", "text": text} for n, text in enumerate(documents)]
    write_rows(tmp_path / "SciFact/corpus.jsonl", corpus)
    queries = {"q1": PAIRS[0], "q2": PAIRS[2], "q3": PAIRS[4]}
    write_rows(
        tmp_path / "SciFact/queries.jsonl",
        [{"_id": name, "text": pair[0]} for name, pair in queries.items()],
    )
    write_rows(
        tmp_path / "SciFact/qrels.jsonl",
        [
            {"qid": name, "did": str(documents.index(pair[1])), "score": 1}
            for name, pair in queries.items()
        ],
    )
    metric, score = quality.run(MtebEncoder(), "SciFact", tmp_path)
    assert metric == "ndcg_at_10"
    assert score == pytest.approx(100)


@pytest.mark.filterwarnings("ignore")
def test_a_classification_task(quality: ModuleType, tmp_path: Path) -> None:
    kinds = ("the weather is {}", "my bank card was {}")
    words = ("good", "bad", "lost", "cold", "stolen", "fine", "late", "wet", "new", "old")
    labelled = [
        {"text": kind.format(word), "label": label}
        for label, kind in enumerate(kinds)
        for word in words
    ]
    for split in ("train", "test"):
        write_rows(tmp_path / f"Banking77Classification/{split}.jsonl", labelled)
    metric, score = quality.run(MtebEncoder(), "Banking77Classification", tmp_path)
    assert metric == "accuracy"
    assert score > 95


def test_prompts_are_chosen_as_mteb_does() -> None:
    prompts = {"query": "q: ", "Retrieval-query": "r: ", "STS": "s: ", "SciFact": "f: "}
    encoder = MtebEncoder(SentenceTransformer(prompts=prompts))
    batches = [{"text": ["a", "b"]}, {"text": ["c"]}]
    cases = [
        ("NFCorpus", "Retrieval", "query", "r: "),
        ("SciFact", "Retrieval", "query", "f: "),
        ("SciFact", "Retrieval", None, "f: "),
        ("STS12", "STS", None, "s: "),
        ("Other", "Clustering", "query", "q: "),
        ("Other", "Clustering", "document", ""),
    ]
    for name, kind, prompt_type, expected in cases:
        found = encoder.encode(
            batches,
            task_metadata=SimpleNamespace(name=name, type=kind),
            hf_split="test",
            hf_subset="default",
            prompt_type=prompt_type,
            batch_size=2,
        )
        assert found.tobytes() == encoder.model.encode(["a", "b", "c"], prompt=expected).tobytes()


def test_the_card_is_read(quality: ModuleType, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text(
        "---\nmodel-index:\n- name: m\n  results:\n  - task: {type: STS}\n    dataset:\n"
        "      name: MTEB STS22 (en)\n    metrics:\n    - type: cos_sim_spearman\n"
        "      value: 66.5\n---\ntext\n"
    )
    scores = quality.card_scores(card)
    assert scores == {"STS22": {"cos_sim_spearman": 66.5}}
    assert quality.row("STS22", "cosine_spearman", 66.4, scores).endswith("| 66.50 | -0.10 |")
    assert quality.row("STS12", "cosine_spearman", 1.0, scores) == (
        "| STS12 | cosine_spearman | 1.00 | | |"
    )
