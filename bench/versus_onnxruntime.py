"""Compare bge-micro with ONNX Runtime on the official int8 file: one thread, one interleaved run.

    taskset -c 0 env TOKENIZERS_PARALLELISM=false \
        python bench/versus_onnxruntime.py model_quantized.onnx

Both sides tokenize, encode and pool: strings in, vectors out. Every round runs each side once;
medians over the rounds are printed, with the spread, after the vectors have been compared.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from onnx_encoder import Encode, onnx_runtime
from texts import sentences

import bge_micro


def one_by_one(encode: Encode) -> Encode:
    """Encode each text by itself, as queries come."""
    return lambda texts: np.concatenate([encode([text]) for text in texts])


def seconds(run: Encode, texts: Sequence[str]) -> float:
    """Time one call."""
    start = time.perf_counter()
    run(texts)
    return time.perf_counter() - start


def cpu_name() -> str:
    """Return the CPU's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    """Compare, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("onnx", type=Path, help="the hub's onnx/model_quantized.onnx")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    if os.environ.get("TOKENIZERS_PARALLELISM", "").lower() != "false":
        parser.error("set TOKENIZERS_PARALLELISM=false, so that both sides use one thread")

    peer = onnx_runtime(arguments.onnx)
    models = {
        name: bge_micro.SentenceTransformer(compute_type=name, threads=1)
        for name in ("int8", "float32")
    }
    sides: dict[str, Encode] = {"ONNX Runtime int8": peer}
    sides |= {f"bge-micro {name}": model.encode for name, model in models.items()}
    workloads = {
        "queries, one by one": (sentences(7, 11, 100), one_by_one),
        "sentences, one call": (sentences(10, 28, 700), lambda encode: encode),
    }
    print(
        f"{cpu_name()}, {platform.system()}, Python {platform.python_version()}, "
        f"onnxruntime {onnxruntime.__version__}, bge-micro {bge_micro.__version__} "
        f"({models['int8'].isa}), 1 thread, {arguments.rounds} rounds\n"
    )
    print("| workload | tokens a text | side | ms a text | spread | tokens/s | times faster |")
    print("|---|---|---|---|---|---|---|")
    for workload, (texts, style) in workloads.items():
        runs = {side: style(encode) for side, encode in sides.items()}
        theirs, ours = peer(texts), models["int8"].encode(texts)
        lengths = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours, axis=1)
        cosine = float(((theirs * ours).sum(1) / lengths).mean())
        if cosine < 0.99:
            raise SystemExit(f"the sides disagree: mean cosine {cosine:.4f}")
        times: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(arguments.rounds):
            for side, run in runs.items():
                times[side].append(seconds(run, texts))
        tokens = float(models["int8"].count_tokens(texts).used.mean())
        base = statistics.median(times["ONNX Runtime int8"])
        for side, values in times.items():
            median = statistics.median(values)
            spread = (max(values) - min(values)) / median
            print(
                f"| {workload} | {tokens:.1f} | {side} | {1000 * median / len(texts):.3f} | "
                f"{spread:.0%} | {tokens * len(texts) / median:,.0f} | {base / median:.2f} |"
            )


if __name__ == "__main__":
    main()
