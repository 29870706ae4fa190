"""New processes: seconds to the first vector, and peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.driver import environment, pinned
from bench.files import ModelFiles
from bench.stats import Summary, summary

IMPORTS, OURS, PEER = "import numpy, tokenizers", "bge-micro", "ONNX Runtime"

# VmHWM, not ru_maxrss, which starts with the peak of the process that started this one.
_PEAK = """
peak = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(peak[0])
"""
_OURS = """
from bge_micro import SentenceTransformer
vectors = SentenceTransformer(threads=1).encode(["This is an example sentence"])
assert vectors.shape == (1, 384)
"""
# A careful user of ONNX Runtime writes this: only what a vector needs.
_PEER = """
import sys
import numpy as np, onnxruntime
from tokenizers import Tokenizer
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
ids = np.array([Tokenizer.from_file(sys.argv[2]).encode("This is an example sentence").ids])
inputs = {"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0}
vectors = session.run(None, inputs)[0].mean(1)
assert vectors.shape == (1, 384)
"""
_MANY_TEXTS = """
import json, sys, time
from bge_micro import SentenceTransformer
count = int(sys.argv[1])
sentences = json.load(sys.stdin)
model = SentenceTransformer(threads=1)
def texts():
    for row in range(count):
        yield f"{row}: {sentences[row % len(sentences)]}"
begin = time.perf_counter()
rows = sum(len(block) for block in model.encode_iter(texts()))
print(time.perf_counter() - begin)
assert rows == count
"""
SCALES = (100, 1_000, 10_000, 100_000)


@dataclass(frozen=True)
class Startup:
    """New processes of one kind: seconds, and MB at the peak."""

    name: str
    seconds: Summary
    peak_mb: Summary


@dataclass(frozen=True)
class Scale:
    """Many texts through encode_iter, in their own process."""

    texts: int
    seconds_a_text: float
    peak_mb: float


def measure_startup(files: ModelFiles, cpus: list[int], pairs: int) -> list[Startup]:
    """Start the kinds of process in turns, `pairs` times each."""
    tokenizer = files.float_folder() / "tokenizer.json"
    programs = {
        IMPORTS: ("import numpy, tokenizers", []),
        OURS: (_OURS, []),
        PEER: (_PEER, [str(files.official), str(tokenizer)]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    peaks: dict[str, list[float]] = {name: [] for name in programs}
    for pair in range(pairs + 1):  # the first run fills the caches of files and bytecode
        for name, (program, arguments) in programs.items():
            begin = time.perf_counter()
            output = _run(program + _PEAK, arguments, cpus)
            if pair:
                seconds[name].append(time.perf_counter() - begin)
                peaks[name].append(int(output[0]) / 1024)
    return [Startup(name, summary(seconds[name]), summary(peaks[name])) for name in programs]


def measure_scaling(
    sentences: list[str], cpus: list[int], say: Callable[[str], None]
) -> list[Scale]:
    """Encode 100 to 100,000 distinct texts made from some sentences."""
    found = []
    for count in SCALES:
        seconds, peak = _run(_MANY_TEXTS + _PEAK, [str(count)], cpus, json.dumps(sentences))
        found.append(Scale(count, float(seconds) / count, int(peak) / 1024))
        say(f"{count} texts through encode_iter")
    return found


def _run(program: str, arguments: list[str], cpus: list[int], stdin: str = "") -> list[str]:
    done = subprocess.run(
        pinned(cpus, sys.executable, "-c", program, *arguments),
        env=environment(len(cpus)),
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(sys.prefix),
    )
    return done.stdout.split()
