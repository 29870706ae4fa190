"""How many instructions encoding takes on the AVX2 path, counted by valgrind's callgrind.

A count has no noise, so it shows a loss of a few percent, which a clock on a shared machine cannot.
It depends on the compiler; instruction_counts.json has figures for each compiler that was used.
After
a change that is meant to change the count, or with a new compiler:

    PYTHONPATH=tests python -m core.instruction_count

writes this compiler's figures for the build that is installed.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import bge_micro
from bge_micro import _core
from bge_micro.checkpoint import load_folder

COUNTS = Path(__file__).with_name("instruction_counts.json")
COMPUTE_TYPES = ("int8", "float32")
ISA = "avx2"  # valgrind does not support AVX-512
# Texts as queries, sentences and passages are long, through the first layer of the bundled model.
# valgrind imitates a fused multiply-add and takes 0.1 microseconds for it, so floats get fewer
# tokens: each length leaves a last tile of rows that is not full.
TOKENS = {"int8": (15, 23, 64, 300), "float32": (15, 23, 130)}
LAYERS = 1

# Only C can tell valgrind to begin and end counting. Outside of these two requests valgrind is ten
# times as fast, and Python's start is not counted.
REQUESTS = """
#include <valgrind/callgrind.h>
extern "C" void start() { CALLGRIND_START_INSTRUMENTATION; }
extern "C" void stop() { CALLGRIND_STOP_INSTRUMENTATION; }
"""


def encode(compute_type: str, requests: str) -> None:
    """Encode a word, then fixed texts between requests to count: what runs under callgrind."""
    library = ctypes.CDLL(requests)
    checkpoint = load_folder(Path(bge_micro.__file__).parent / "data" / "bge-micro-v2", mmap=True)
    config = checkpoint.config._replace(layers=LAYERS)
    model = _core.Engine(config, checkpoint.tensors, compute_type, ISA)

    def run(*tokens: int) -> None:
        model.encode(
            np.arange(1000, 1000 + sum(tokens), dtype=np.int32),
            np.array([0, *np.cumsum(tokens)], np.int64),
            pooling="mean",
            dimensions=config.hidden,
            normalize=False,
            precision="float32",
            threads=1,
            vectors=np.empty((len(tokens), config.hidden), np.float32),
        )

    run(1)  # what happens once, in the first call, is not counted
    library.start()
    run(*TOKENS[compute_type])
    library.stop()


def instructions_an_encode(compute_type: str) -> int:
    """Count the instructions of one encode.

    Raises:
        subprocess.CalledProcessError: There is no C++ compiler, or valgrind came without headers.
    """
    # Addresses and hashes that differ from run to run would be noise.
    environ = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/requests.so"
        build = [os.environ.get("CXX", "c++"), "-shared", "-fPIC", "-o", library, "-xc++", "-"]
        subprocess.run(build, input=REQUESTS, check=True, text=True)
        done = subprocess.run(
            [
                *("valgrind", "--tool=callgrind", "--instr-atstart=no"),
                "--callgrind-out-file=/dev/null",
                *(sys.executable, "-m", "core.instruction_count", compute_type, library),
            ],
            check=True,
            capture_output=True,
            text=True,
            env=environ,
        )
    match = re.search(r"Collected : (\d+)", done.stderr)
    assert match, done.stderr
    return int(match[1])


def compiler() -> str:
    """Return the extension's compiler, such as "GCC 12.2", from its .comment section."""
    section = subprocess.run(
        ["readelf", "-p", ".comment", _core.__file__], check=True, capture_output=True, text=True
    )
    match = re.search(r"(GCC|clang)[^\n]*?(\d+\.\d+)\.\d+", section.stdout)
    return f"{match[1]} {match[2]}" if match else "unknown"


def main() -> None:
    """Encode what the arguments say; without arguments, write this compiler's figures."""
    if len(sys.argv) == 3:
        encode(*sys.argv[1:])
        return
    counts = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    counts[compiler()] = {kind: instructions_an_encode(kind) for kind in COMPUTE_TYPES}
    COUNTS.write_text(json.dumps(counts, indent=2, sort_keys=True) + "\n")
    print(COUNTS.read_text())


if __name__ == "__main__":
    main()
