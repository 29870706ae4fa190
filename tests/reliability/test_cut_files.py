"""Weight files cut short before or while they are read: never taken for whole."""

from __future__ import annotations

import io
import os
import random
import shutil
import threading
import time
from pathlib import Path

import pytest

from bge_micro import CheckpointError, SentenceTransformer
from bge_micro.checkpoint import load_folder
from bge_micro.checkpoint.safetensors_file import open_tensors

pytestmark = pytest.mark.skipif(os.name == "nt", reason="cuts files that are open")


@pytest.mark.parametrize("mapped", [False, True])
def test_a_weight_file_cut_short_before_reading(tiny: Path, mapped: bool) -> None:
    weights = tiny / "model.safetensors"
    content = weights.read_bytes()
    rng = random.Random(3)
    for size in [0, 7, 8, len(content) - 1, *(rng.randrange(len(content)) for _ in range(20))]:
        weights.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            load_folder(tiny, mmap=mapped)


@pytest.mark.parametrize("change", ["cut", "rewritten"])
def test_a_weight_file_that_changes_while_it_is_read(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Linux may read the whole length, with zeros for what was cut off of the last page."""
    weights = tiny / "model.safetensors"
    content = weights.read_bytes()
    other = shutil.copyfile(weights, tiny / "other")
    past = time.time() - 60
    os.utime(weights, (past, past))

    class Changing(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            if change == "cut":
                os.truncate(weights, len(content) - 100)
            else:
                shutil.copyfile(other, weights)
            return content[:-100] + bytes(100)

    monkeypatch.setattr(Path, "open", lambda path, mode: Changing(path, "r"))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: the file changed while"):
        open_tensors(weights)


def test_a_weight_file_cut_short_while_it_is_read(tiny: Path) -> None:
    """Another thread cuts the file and replaces it by a whole one, again and again."""
    weights = tiny / "model.safetensors"
    content = weights.read_bytes()
    expected = SentenceTransformer(tiny).encode("a b c").tobytes()
    over = threading.Event()

    def spoil() -> None:
        rng = random.Random(4)
        whole = tiny / "whole"
        while not over.is_set():
            os.truncate(weights, rng.randrange(len(content)))
            time.sleep(rng.random() / 2000)
            whole.write_bytes(content)
            whole.replace(weights)
            time.sleep(rng.random() / 200)

    spoiler = threading.Thread(target=spoil)
    spoiler.start()
    outcomes = {"whole": 0, "refused": 0}
    try:
        end = time.monotonic() + 600
        while (sum(outcomes.values()) < 60 or 0 in outcomes.values()) and time.monotonic() < end:
            try:
                model = SentenceTransformer(tiny)
            except CheckpointError:
                outcomes["refused"] += 1
            else:
                assert model.encode("a b c").tobytes() == expected
                outcomes["whole"] += 1
    finally:
        over.set()
        spoiler.join()
    assert min(outcomes.values()) > 0, outcomes
