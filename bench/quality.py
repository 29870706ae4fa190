"""Run MTEB tasks through mteb itself, and write a table against a model card's figures.

    python -m bench.quality --tasks STSBenchmark SICK-R --card model-card.md
    python -m bench.quality --model FOLDER --compute-type float32 --data LOCAL --out table.md

(Do not run it as a script: modules beside it would hide packages of the same names.)

Data come from the hub, or with --data from local JSONL, in folders named as the tasks:
``test.jsonl`` (and ``train.jsonl``) of ``sentence1``, ``sentence2``, ``score`` or of ``text``,
``label``; for retrieval ``corpus.jsonl``, ``queries.jsonl`` and ``qrels.jsonl``. It needs the extra
``bge-micro[quality]``. Scores of the installed mteb differ a little from those of 2023, which many
cards give, most of all for classification, because it now draws its examples in another way.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import mteb
import yaml
from mteb.cache import ResultCache

from bench.local_tasks import load_local
from bge_micro import SentenceTransformer
from bge_micro.atomic import atomic_file
from bge_micro.integrations.mteb import MtebEncoder

DEFAULT_TASKS = ("STSBenchmark", "SICK-R", "Banking77Classification", "SciFact")
# Names of scores in mteb today, and in the cards of its first releases.
CARD_METRICS = {
    "cosine_spearman": "cos_sim_spearman",
    "accuracy": "accuracy",
    "ndcg_at_10": "ndcg_at_10",
    "map": "map",
    "v_measure": "v_measure",
    "cosine_ap": "cos_sim_ap",
}


def card_scores(path: Path) -> dict[str, dict[str, float]]:
    """Read a model card's scores, by task and metric."""
    front = path.read_text(encoding="utf-8").split("---")[1]
    results = yaml.safe_load(front)["model-index"][0]["results"]
    return {
        entry["dataset"]["name"].removeprefix("MTEB ").partition(" (")[0]: {
            metric["type"]: float(metric["value"]) for metric in entry["metrics"]
        }
        for entry in results
    }


def run(encoder: MtebEncoder, name: str, data: Path | None) -> tuple[str, float]:
    """Return a task's main metric and score, in points."""
    task = mteb.get_task(name, languages=["eng"])
    if data is not None:
        load_local(task, data / name)
    with tempfile.TemporaryDirectory() as folder:
        cache = ResultCache(cache_path=folder)
        result = mteb.evaluate(encoder, task, cache=cache, show_progress_bar=False)
    (task_result,) = result.task_results
    return task.metadata.main_score, 100 * task_result.get_score()


def row(name: str, metric: str, score: float, published: dict[str, Any]) -> str:
    """Return a task's row of the table."""
    card = published.get(name, {}).get(CARD_METRICS.get(metric, metric))
    if card is None:
        return f"| {name} | {metric} | {score:.2f} | | |"
    return f"| {name} | {metric} | {score:.2f} | {card:.2f} | {score - card:+.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bge-micro-v2")
    parser.add_argument("--compute-type", choices=("int8", "float32"), default="int8")
    parser.add_argument("--max-seq-length", type=int)
    parser.add_argument("--tasks", nargs="+", default=DEFAULT_TASKS)
    parser.add_argument("--data", type=Path, help="local JSONL data instead of the hub's")
    parser.add_argument("--card", type=Path, help="a model card with published figures")
    parser.add_argument("--out", type=Path, help="a file for the table")
    arguments = parser.parse_args()

    model = SentenceTransformer(arguments.model, compute_type=arguments.compute_type)
    if arguments.max_seq_length:
        model.max_seq_length = arguments.max_seq_length
    encoder = MtebEncoder(model)
    published = card_scores(arguments.card) if arguments.card else {}
    lines = [f"{model.space_id}, mteb {mteb.__version__}", ""]
    lines += ["| task | metric | here | card | difference |", "|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    for name in arguments.tasks:
        lines.append(row(name, *run(encoder, name, arguments.data), published))
        print(lines[-1], flush=True)
    if arguments.out:
        with atomic_file(arguments.out) as file:
            file.write(("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    main()
