"""Embed a column of a Parquet dataset on a Ray cluster.

    pip install 'bge-micro[ray]'
    python ray_parquet.py texts/ vectors/ --column text --actors 7 --cpus 4

Without a cluster's address in RAY_ADDRESS, Ray starts one on this machine. Every actor loads one
model and runs as many threads as it has CPUs. Actors x CPUs must leave some of the cluster's CPUs
free: reading and writing take one CPU per task, and without any the job waits for ever. The result
has the columns of the input and "embedding", a fixed-size list of float32.
"""

from __future__ import annotations

import argparse

import ray

from bge_micro.integrations.ray import EmbedBatches


def embed(
    source: str, target: str, column: str, *, actors: int, cpus: float, batch_size: int
) -> None:
    """Embed a dataset and write it; rows keep their order."""
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    dataset = ray.data.read_parquet(source).map_batches(
        EmbedBatches,
        fn_constructor_kwargs={"column": column},
        batch_format="pyarrow",
        batch_size=batch_size,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=cpus,
    )
    dataset.write_parquet(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="a Parquet file or a folder of them")
    parser.add_argument("target", help="the folder to write to")
    parser.add_argument("--column", default="text", help="the column of texts")
    parser.add_argument("--actors", type=int, default=1)
    parser.add_argument("--cpus", type=float, default=1, help="CPUs of each actor")
    # 4096 texts are some 100,000 tokens, seconds of work, and 6 MB of vectors.
    parser.add_argument("--batch-size", type=int, default=4096, help="texts a call")
    embed(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
