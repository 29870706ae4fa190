"""Ray Data on a local cluster: the bytes of one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray.data", reason="ray[data] is not installed")

import pyarrow
import ray
from pyarrow import parquet

from bge_micro.integrations.ray import EmbedBatches
from integrations.parquet_texts import bytes_by_id, example, expected_bytes, write_golden_texts

# Ray warns about its own settings each time it copies them.
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning")

CPUS = 6  # as far as Ray is concerned; reading and writing need some too


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=CPUS, include_dashboard=False, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = 20_000  # bytes: enough blocks for two actors to share
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_golden_texts(tmp_path_factory.mktemp("ray") / "texts")


@pytest.mark.parametrize(("actors", "cpus"), [(1, 1), (2, 2)])
def test_the_example_writes_the_bytes_of_one_process(
    dataset: Path, tmp_path: Path, actors: int, cpus: int
) -> None:
    embed = example("ray_parquet.py")
    embed(str(dataset), str(tmp_path), "text", actors=actors, cpus=cpus, batch_size=40)
    assert bytes_by_id(tmp_path) == expected_bytes()
    table = parquet.read_table(tmp_path)
    assert table["id"].to_pylist() == list(range(len(table)))
    assert table.schema.field("embedding").type == pyarrow.list_(pyarrow.float32(), 384)


def test_batches_of_arrays(dataset: Path) -> None:
    rows = ray.data.read_parquet(str(dataset)).map_batches(
        EmbedBatches,
        fn_constructor_kwargs={"precision": "int8", "output_column": "code"},
        batch_size=50,
        compute=ray.data.ActorPoolStrategy(size=2),
        num_cpus=1,
    )
    found = {row["id"]: row["code"].tobytes() for row in rows.take_all()}
    assert found == expected_bytes(precision="int8")


@pytest.mark.parametrize(("cpus", "settings", "threads"), [
    (3, {}, 3), (0.5, {}, 1), (3, {"threads": 2}, 2),
])  # fmt: skip
def test_threads_are_the_cpus_of_the_actor(
    dataset: Path, cpus: float, settings: dict[str, Any], threads: int
) -> None:
    class ReportThreads(EmbedBatches):  # local, so that it travels by value
        def __call__(self, batch: Any) -> Any:
            threads = np.full(len(batch["id"]), self._held.model.threads)
            return {**super().__call__(batch), "threads": threads}

    rows = (
        ray.data.read_parquet(str(dataset))
        .limit(10)
        .map_batches(
            ReportThreads,
            fn_constructor_kwargs=settings,
            compute=ray.data.ActorPoolStrategy(size=1),
            num_cpus=cpus,
        )
    )
    assert {row["threads"] for row in rows.take_all()} == {threads}


def test_in_the_driver_of_a_cluster(texts: list[str]) -> None:
    batch = {"text": np.array(texts)}
    found, expected = EmbedBatches()(batch), EmbedBatches(threads=1)(batch)
    assert found["embedding"].tobytes() == expected["embedding"].tobytes()


def test_outside_of_an_actor_and_wrong_batches(texts: list[str]) -> None:
    embed = EmbedBatches()
    table = embed(pyarrow.table({"text": texts}))
    assert embed({"text": np.array(texts)})["embedding"].tolist() == table["embedding"].to_pylist()
    with pytest.raises(TypeError, match="batch_format='pyarrow'"):
        embed([texts])
    with pytest.raises(ValueError, match="row 1 is None"):
        embed(pyarrow.table({"text": ["a", None]}))
