"""Scores of four tasks against those of the restored float weights, which the bundle is made of.

The data and the scoring are third-party research material in a folder beside the repository,
../shared/eval, which few machines have.
"""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import pytest

from bge_micro import SentenceTransformer

EVALUATE = Path(__file__).resolve().parents[3] / "shared" / "eval" / "evaluate.py"

EXACT_SCORES = {
    "STSBenchmark": 82.16,
    "SICK-R": 73.16,
    "Banking77Classification": 81.03,
    "SciFact": 65.82,
}


def load_evaluate() -> Any:
    """Import evaluate.py from its folder."""
    spec = importlib.util.spec_from_file_location("evaluate", EVALUATE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(not EVALUATE.is_file(), reason="the tasks are not at hand (../shared/eval)")
@pytest.mark.filterwarnings("default")  # scikit-learn's, about its own defaults
def test_int8_scores_are_those_of_the_float_weights() -> None:
    pytest.importorskip("scipy")
    pytest.importorskip("sklearn")
    evaluate = load_evaluate()
    encode = SentenceTransformer(compute_type="int8").encode
    results = evaluate.run(encode, list(EXACT_SCORES), card=None, out=io.StringIO())
    differences = []
    for task, exact in EXACT_SCORES.items():
        score = 100 * results[task][evaluate.TASKS[task]["main"]]
        differences.append(score - exact)
        print(f"{task:25s} {score:6.2f}  exact {exact:6.2f}  difference {score - exact:+.2f}")
    assert max(map(abs, differences)) <= 0.3
    assert abs(sum(differences)) / len(differences) <= 0.1
