"""The build option that takes OpenMP's threads instead of the core's own: the same bits."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import importlib.util, sys
import numpy as np

def load(name):
    spec = importlib.util.spec_from_file_location("_core", name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

from bge_micro import _core
from bge_micro.checkpoint import bundled_folder, load_folder

openmp = load(sys.argv[1])
assert openmp.parallel_backend == "openmp" and _core.parallel_backend == "pool"
checkpoint = load_folder(bundled_folder(), mmap=True)
lengths = [2, 3, 17, 64, 130, 512, 40, 9]
ids = np.random.default_rng(0).integers(0, 30000, sum(lengths)).astype(np.int32)
offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
for compute_type in ("int8", "float32"):
    results = set()
    for module in (_core, openmp):
        model = module.Engine(checkpoint.config, checkpoint.tensors, compute_type)
        for threads in (1, 2, 3):
            out = np.empty((len(lengths), 384), np.float32)
            model.encode(
                ids, offsets, pooling="mean", dimensions=384, normalize=False,
                precision="float32", threads=threads, vectors=out,
            )
            results.add(out.tobytes())
    assert len(results) == 1
"""


@pytest.mark.slow
def test_openmp_gives_the_same_bits(tmp_path: Path) -> None:
    pybind11 = importlib.util.find_spec("pybind11")
    if pybind11 is None or shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("needs cmake, a C++ compiler and pybind11")
    assert pybind11.origin is not None
    configure = [
        "cmake", "-S", str(ROOT), "-B", str(tmp_path), "-DBGE_MICRO_OPENMP=ON",
        "-DSKBUILD_PROJECT_NAME=bge_micro", "-DSKBUILD_PROJECT_VERSION=0",
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-Dpybind11_DIR={Path(pybind11.origin).parent / 'share' / 'cmake' / 'pybind11'}",
    ]  # fmt: skip
    subprocess.run(configure, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(tmp_path), "-j2"], check=True, capture_output=True)
    module = next(tmp_path.glob("_core.*"))
    subprocess.run([sys.executable, "-c", PROGRAM, str(module)], check=True, timeout=300)
