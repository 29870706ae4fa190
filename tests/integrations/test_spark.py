"""Spark on a local cluster: the bytes of one process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark", reason="pyspark is not installed")
if not shutil.which("java"):
    pytest.skip("Spark needs Java: no java on PATH", allow_module_level=True)

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf

from bge_micro.integrations.spark import embed_udf
from integrations.parquet_texts import bytes_by_id, example, expected_bytes, write_golden_texts

# Warnings of Spark's own code in the driver, which are none of ours.
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning")

TASK_CPUS = 2


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    session = (
        SparkSession.builder.master("local[4]")
        .config("spark.task.cpus", TASK_CPUS)
        .config("spark.pyspark.python", sys.executable)
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", 50)
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_golden_texts(tmp_path_factory.mktemp("spark") / "texts")


def test_the_example_writes_the_bytes_of_one_process(
    spark: SparkSession, dataset: Path, tmp_path: Path
) -> None:
    embed = example("spark_parquet.py")
    embed(spark, str(dataset), str(tmp_path / "vectors"), "text")
    assert bytes_by_id(tmp_path / "vectors") == expected_bytes()


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_other_precisions(spark: SparkSession, dataset: Path, precision: str) -> None:
    frame = spark.read.parquet(str(dataset))
    udf = embed_udf(precision=precision)
    rows = frame.select("id", udf("text").alias("code")).collect()
    dtype = np.uint8 if precision.startswith("u") else np.int8
    found = {row["id"]: np.array(row["code"], dtype).tobytes() for row in rows}  # refuses others
    assert found == expected_bytes(precision=precision)


def test_a_missing_text_gives_a_missing_vector(spark: SparkSession, texts: list[str]) -> None:
    given = [(0, texts[0]), (1, None), (2, texts[1]), (3, None)]
    frame = spark.createDataFrame(given, "id int, text string")
    vectors = frame.select("id", embed_udf()("text").alias("vector")).collect()
    rows = {row["id"]: row["vector"] for row in vectors}
    assert [rows[row] is None for row in range(4)] == [False, True, False, True]
    only_missing = frame.where("text is null").select(embed_udf()("text").alias("v")).collect()
    assert [row["v"] for row in only_missing] == [None, None]


def test_one_model_a_worker_with_the_cpus_of_a_task(spark: SparkSession, dataset: Path) -> None:
    embed = embed_udf().func

    @pandas_udf("string")
    def report(batches: Iterator[Any]) -> Iterator[Any]:
        import os

        from bge_micro.integrations import held

        for texts in batches:
            list(embed(iter([texts])))
            threads = [model.threads for model in held._loaded.values()]
            yield texts.map(lambda _: f"{os.getpid()} {threads}")  # noqa: B023

    report.func.__annotations__ = embed.__annotations__
    frame = spark.read.parquet(str(dataset)).repartition(8)
    reports = {row["r"] for row in frame.select(report("text").alias("r")).collect()}
    workers = {line.split()[0] for line in reports}
    assert len(workers) <= 4 // TASK_CPUS  # eight tasks, two at a time, in workers that stay
    assert reports == {f"{worker} [{TASK_CPUS}]" for worker in workers}


def test_an_unknown_precision_is_refused_on_the_driver() -> None:
    with pytest.raises(ValueError, match="float16"):
        embed_udf(precision="float16")
