"""Processes that share the work of `encode`: sentence-transformers' multi-process pools.

Threads of one process share the work already, so a pool is not faster. It is here for programs that
start one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, TypedDict

from bge_micro.options import check_positive

if TYPE_CHECKING:
    from bge_micro import SentenceTransformer

# As sentence-transformers: ten chunks a process, so that all of them end at about the same time,
# and a bound on what waits in memory.
_CHUNKS_PER_PROCESS = 10
_MOST_CHUNK_ROWS = 5000


class Pool(TypedDict):
    """A pool; for callers a thing to pass on.

    Attributes:
        executor: Runs chunks in the processes.
        processes: How many there are.
    """

    executor: Executor
    processes: int


def start(model: SentenceTransformer, processes: int) -> Pool:
    """Start processes that each load the model from its source, and share its threads."""
    threads = max(1, model.threads // processes)
    executor = ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_begin, initargs=(model, threads)
    )
    return {"executor": executor, "processes": processes}


def stop(pool: Pool) -> None:
    """End the processes; chunks that have not begun are dropped."""
    pool["executor"].shutdown(cancel_futures=True)


def encode(
    pool: Pool,
    rows: Sequence[str],
    chunk_size: int | None,
    options: dict[str, Any],
    advance: Callable[[int], object],
) -> list[Any]:
    """Encode texts in the processes of a pool.

    Args:
        pool: What `start` returned.
        rows: The texts.
        chunk_size: Texts of a chunk; None for a size that gives each process several.
        options: Keywords of `bge_micro.SentenceTransformer.encode`.
        advance: Called with the number of texts done, chunk by chunk.

    Returns:
        What `encode` returned for each chunk, in order.
    """
    if chunk_size is None:
        share = -(-len(rows) // (pool["processes"] * _CHUNKS_PER_PROCESS))
        chunk_size = min(max(1, share), _MOST_CHUNK_ROWS)
    chunk_size = check_positive("chunk_size", chunk_size)
    # At least one chunk, so that no texts give an array of the right shape too.
    starts = range(0, max(1, len(rows)), chunk_size)
    futures = [
        pool["executor"].submit(_encode_chunk, rows[first : first + chunk_size], options)
        for first in starts
    ]
    results = []
    for first, future in zip(starts, futures, strict=True):
        results.append(future.result())
        advance(min(chunk_size, len(rows) - first))
    return results


# The model of a process of the pool, and its threads.
_here: list[tuple[SentenceTransformer, int]] = []


def _begin(model: SentenceTransformer, threads: int) -> None:
    _here[:] = [(model, threads)]


def _encode_chunk(rows: Sequence[str], options: dict[str, Any]) -> Any:
    ((model, threads),) = _here
    return model.encode(rows, threads=threads, show_progress_bar=False, **options)
