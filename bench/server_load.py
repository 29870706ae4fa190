"""Load `bge-micro serve`, and the same HTTP stack around ONNX Runtime, from this machine.

    python -m bench.server_load --onnx model_quantized.onnx

Each round loads each server in turn, with one short text per request and with 32 sentences per
request. It prints medians over the rounds. The client and the servers use the same CPUs, so the
rates include the client's work.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import onnxruntime
import uvloop

import bge_micro
from bench import machine
from bench.files import ModelFiles
from bench.load import Load, load, post
from bench.servers import Side, cpu_seconds, free_port, started
from bench.texts import queries, sentences


def request(texts: str | Sequence[str], form: str) -> bytes:
    """Return a request for the vectors of texts."""
    body = {"input": texts, "model": "bge-micro-v2", "encoding_format": form}
    return post("/v1/embeddings", json.dumps(body).encode())


def bare_rate(model: bge_micro.SentenceTransformer, texts: Sequence[str], seconds: float) -> float:
    """Return the texts a second of `encode` without a server, called in a loop."""
    start, done = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < seconds:
        model.encode(texts, normalize_embeddings=True)
        done += len(texts)
    return done / elapsed


def main() -> None:
    """Measure, and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--onnx", type=Path, required=True, help="the hub's model_quantized.onnx")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load (default: 3)")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--encoding-format", choices=("base64", "float"), default="base64")
    arguments = parser.parse_args()

    model = bge_micro.SentenceTransformer()
    threads = str(model.threads)
    short, long = queries(100), sentences(640)
    workloads = {
        "1 short text": (short, [request(text, arguments.encoding_format) for text in short]),
        "32 sentences": (
            long,
            [request(long[row : row + 32], arguments.encoding_format) for row in range(0, 640, 32)],
        ),
    }
    print(
        f"{machine.cpu_name()}, {platform.system()}, Python {platform.python_version()}, "
        f"onnxruntime {onnxruntime.__version__}, bge-micro {bge_micro.__version__} ({model.isa}), "
        f"{threads} threads, {arguments.clients} clients, {arguments.rounds} rounds of "
        f"{arguments.seconds:g} s, vectors as {arguments.encoding_format}\n"
    )
    with ExitStack() as stack:
        sides = start_sides(stack, arguments.onnx.resolve(strict=True), threads)
        for workload, (texts, requests) in workloads.items():
            print(f"{workload} a request:\n")
            measure(model, texts, requests, sides, arguments)
            print()


def start_sides(stack: ExitStack, onnx: Path, threads: str) -> dict[str, Side]:
    """Start every server until the stack ends."""
    folder = stack.enter_context(TemporaryDirectory())
    ModelFiles(onnx, Path(folder)).float_folder()  # for the tokenizer in it
    commands = {
        "bge-micro serve": ["bge_micro", "serve", "--threads", threads, "--port"],
        "HTTP only": ["bench.peer_servers", "noop"],
        "ONNX Runtime": ["bench.peer_servers", "onnx"],
        "ONNX Runtime in our queue": ["bench.peer_servers", "onnx-batched"],
    }
    sides = {}
    for name, command in commands.items():
        port = free_port()
        rest = [threads, str(onnx), folder] if "onnx" in command[-1] else []
        sides[name] = stack.enter_context(started(["-m", *command, str(port), *rest], port))
    return sides


def measure(
    model: bge_micro.SentenceTransformer,
    texts: Sequence[str],
    requests: Sequence[bytes],
    sides: dict[str, Side],
    arguments: argparse.Namespace,
) -> None:
    """Load each side in turn with the requests, and print a table."""
    loads: dict[str, list[Load]] = {name: [] for name in sides}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    bare = []
    for turn in range(arguments.rounds + 1):
        rate = bare_rate(model, texts, arguments.seconds)
        if turn:
            bare.append(rate)
        for name, side in sides.items():
            used = cpu_seconds(side.pid)
            run = uvloop.run(load(side.port, requests, arguments.clients, arguments.seconds))
            if turn:  # the first warms up
                loads[name].append(run)
                cpu[name].append((cpu_seconds(side.pid) - used) / len(run.latencies))
    engine = statistics.median(bare)
    print("| side | requests/s | texts/s | of bare engine | p50 | p99 | CPU a request |")
    print("|---|---|---|---|---|---|---|")
    print(f"| bare engine | | {engine:,.0f} | 100% | | | |")
    for name, runs in loads.items():
        rate = statistics.median(run.rate for run in runs)
        many = rate * len(texts) / len(requests)
        p50, p99 = (
            1000 * statistics.median(run.percentile(share) for run in runs) for share in (0.5, 0.99)
        )
        used = 1000 * statistics.median(cpu[name])
        print(
            f"| {name} | {rate:,.0f} | {many:,.0f} | {many / engine:.0%} "
            f"| {p50:.1f} ms | {p99:.1f} ms | {used:.2f} ms |"
        )


if __name__ == "__main__":
    main()
