"""Embed a column of a Parquet dataset with Spark.

    pip install 'bge-micro[spark]'
    spark-submit --conf spark.task.cpus=4 spark_parquet.py texts/ vectors/ --column text

Every Python worker loads one model and runs as many threads as a task has CPUs. The result has the
columns of the input and "embedding", an array of floats.
"""

from __future__ import annotations

import argparse

from pyspark.sql import SparkSession

from bge_micro.integrations.spark import embed_udf


def embed(spark: SparkSession, source: str, target: str, column: str) -> None:
    """Embed a dataset and write it."""
    frame = spark.read.parquet(source)
    frame.withColumn("embedding", embed_udf()(column)).write.parquet(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a Parquet file or a folder of them")
    parser.add_argument("target", help="the folder to write to")
    parser.add_argument("--column", default="text", help="the column of texts")
    options = parser.parse_args()
    spark = SparkSession.builder.appName("bge-micro").getOrCreate()
    embed(spark, options.source, options.target, options.column)
    spark.stop()


if __name__ == "__main__":
    main()
