"""Measure how long a short query takes beside large requests, on `bge-micro serve`.

    python -m bench.fairness
    python -m bench.fairness --against OTHER/python

Some clients send 64 texts of 512 tokens again and again, another sends one short query after
another. It prints the medians over the rounds, each of which runs every kind of text once. With
`--against`, each round measures the package in that folder too. The clients use the same CPUs.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import orjson
import uvloop

import bge_micro
from bench import machine
from bench.load import Load, load, post
from bench.servers import Side, free_port, started

_SHORT = "how do I reset my password?"
# Each is cut at 512 tokens.
_LONG = {
    "English": "the quick brown fox jumps over the lazy dog " * 60,
    "Chinese": "\u6211\u4eec\u5728\u8fd9\u91cc\u8bf4\u8bdd" * 74,
    "signs": "!?.,;:" * 100,
}
_TEXTS = 64


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="a folder with another bge_micro package")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each load (default: 6)")
    parser.add_argument("--clients", type=int, default=4, help="with large requests (default: 4)")
    arguments = parser.parse_args()

    threads = str(bge_micro.SentenceTransformer().threads)
    print(
        f"{machine.cpu_name()}, {threads} threads, {arguments.clients} clients with {_TEXTS} texts "
        f"of 512 tokens, {arguments.rounds} rounds of {arguments.seconds:g} s\n"
    )
    trees = {"this package": Path(bge_micro.__file__).parents[1]}
    if arguments.against:
        trees["other package"] = arguments.against.resolve(strict=True)
    with ExitStack() as stack:
        sides = {}
        for name, tree in trees.items():
            port = free_port()
            command = ["-m", "bge_micro", "serve", "--auto-truncate", "--threads", threads]
            command += ["--port", str(port)]
            sides[name] = stack.enter_context(started(command, port, tree))
        _measure(sides, arguments)


def _measure(sides: dict[str, Side], arguments: argparse.Namespace) -> None:
    rounds: dict[tuple[str, str], list[Beside]] = {}
    for turn in range(arguments.rounds + 1):
        for kind, text in _LONG.items():
            for name, side in sides.items():
                work = _beside(side.port, text, arguments.clients, arguments.seconds)
                loads = uvloop.run(work)
                if turn:  # the first warms up
                    rounds.setdefault((kind, name), []).append(loads)
    print("| beside | side | queries | p50 | p90 | p99 | large texts/s |")
    print("|---|---|---|---|---|---|---|")
    for (kind, name), runs in rounds.items():
        queries = statistics.median(len(run.short.latencies) for run in runs)
        p50, p90, p99 = (
            1000 * statistics.median(run.short.percentile(share) for run in runs)
            for share in (0.5, 0.9, 0.99)
        )
        texts = statistics.median(run.large_texts / run.short.seconds for run in runs)
        print(
            f"| {kind} | {name} | {queries:.0f} | {p50:.1f} ms | {p90:.1f} ms | {p99:.1f} ms "
            f"| {texts:.1f} |"
        )


@dataclass(frozen=True)
class Beside:
    """Short queries, and how many texts of large requests were encoded at the same time."""

    short: Load
    large_texts: int


async def _beside(port: int, text: str, clients: int, seconds: float) -> Beside:
    large = asyncio.create_task(load(port, [_request([text] * _TEXTS)], clients, seconds + 60))
    await asyncio.sleep(0.3)  # until the engine is busy
    before = await asyncio.to_thread(_encoded_texts, port)
    short = await load(port, [_request(_SHORT)], 1, seconds)
    after = await asyncio.to_thread(_encoded_texts, port)
    large.cancel()
    await asyncio.wait([large])
    return Beside(short, after - before - len(short.latencies))


def _encoded_texts(port: int) -> int:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return int(float(re.search(rb"bge_micro_batch_texts_sum (\S+)", answer.read())[1]))


def _request(texts: str | Sequence[str]) -> bytes:
    return post("/v1/embeddings", orjson.dumps({"input": texts, "model": "bge-micro-v2"}))


if __name__ == "__main__":
    main()
