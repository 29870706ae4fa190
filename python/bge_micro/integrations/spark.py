"""Spark: ``frame.withColumn("embedding", embed_udf()("text"))``.

Each Python worker loads one model and keeps it for all its tasks. It uses as many threads as a task
has CPUs (``spark.task.cpus``), so workers do not compete for CPUs. The vectors have the same bits
as those of one process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bge_micro.integrations.frameworks import needed
from bge_micro.integrations.held import HeldModel, hold

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from bge_micro.option_types import HeldSettings

with needed("pyspark", extra="spark"):
    import pandas
    from pyspark import TaskContext
    from pyspark.sql.functions import pandas_udf

# Spark has no unsigned types; the next wider one holds all values.
_SQL_TYPES = {
    "float32": "array<float>",
    "int8": "array<tinyint>",
    "binary": "array<tinyint>",
    "uint8": "array<smallint>",
    "ubinary": "array<smallint>",
}


def embed_udf(model_name_or_path: str = "bge-micro-v2", **settings: Unpack[HeldSettings]) -> Any:
    """Make a function of a string column that gives a column of vectors.

    A missing text gives a missing vector.

    Args:
        model_name_or_path: As for `SentenceTransformer`; each worker looks on its own machine.
        **settings: The other settings of `HeldModel`; threads are a task's CPUs unless set.

    Returns:
        A `pandas_udf`; its type is an array of float, tinyint or smallint by the precision.

    Raises:
        ValueError: The precision is unknown.
    """
    held = hold(model_name_or_path, **settings)
    if held.precision not in _SQL_TYPES:
        raise ValueError(f"precision is {held.precision!r}, expected one of {list(_SQL_TYPES)}.")

    def embed(batches: Iterator[pandas.Series]) -> Iterator[pandas.Series]:
        context = TaskContext.get()
        worker = _of_this_worker(held, context.cpus() if context else None)
        for texts in batches:
            present = texts.notna()
            vectors = iter(worker.documents(texts[present]))
            rows = [next(vectors) if there else None for there in present]
            yield pandas.Series(rows, index=texts.index, dtype=object)

    return pandas_udf(embed, _SQL_TYPES[held.precision])


@lru_cache(maxsize=4)
def _of_this_worker(held: HeldModel, cpus: int | None) -> HeldModel:
    """Return one HeldModel for equal arguments, so that the next task finds its model loaded."""
    return held if held.threads else replace(held, threads=cpus)
