"""A side in its own process: it answers, and its errors are reported here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("bench", reason="the bench is part of a checkout only")

from bench.driver import RemoteSide, SideError
from bench.files import ModelFiles
from bench.machine import usable_cpus
from bench.sides import SideSpec, our_sides
from bench.workloads import ONE_BY_ONE, ONE_CALL, Workload
from bge_micro import SentenceTransformer, _core

BEST = next(name for name, usable in _core.instruction_sets() if usable)
CPUS = usable_cpus()[:1]
TEXTS = ["one text", "and another one"]


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    return ModelFiles(tmp_path / "model.onnx", tmp_path)


def test_a_side_answers(files: ModelFiles) -> None:
    with RemoteSide(our_sides([BEST])[0], files, CPUS) as side:
        assert "bge-micro" in side.versions
        assert np.array_equal(side.vectors(TEXTS), SentenceTransformer().encode(TEXTS))
        for style in (ONE_CALL, ONE_BY_ONE):
            workload = Workload("two texts", TEXTS, style, 5.0)
            assert side.best_batch_size(workload) == 0
            assert 0 < side.run(workload, 0) < 60


def test_what_is_missing_is_told(files: ModelFiles) -> None:
    spec = SideSpec("nobody", "nobody", "int8")
    with pytest.raises(SideError, match=r"ModuleNotFoundError.*bench\.sides\.nobody"):
        RemoteSide(spec, files, CPUS)


def test_a_build_that_is_not_installed_is_told(files: ModelFiles) -> None:
    spec = SideSpec("ours", "ours", "int8", environ={"BGE_MICRO_ISA": "no such set"})
    with pytest.raises(SideError, match="no such set"):
        RemoteSide(spec, files, CPUS)
