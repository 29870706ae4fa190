"""``bge-micro bench``: the speed on this machine, and everything that it depends on."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bge_micro import __version__
from bge_micro.cli.encoding import load_model
from bge_micro.cli.parser import add_model_options, positive

_QUERIES = 50
_SENTENCES = 512

# A query has 15 tokens and a sentence 27, special tokens included; numbers make each of them new.
_QUERY = "how long does it take to walk from {} to the old harbour"
_SENTENCE = (
    "The train that left the northern station at {} arrived in the small town by the river long "
    "after the market had closed its doors."
)


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand's parser."""
    parser = commands.add_parser(
        "bench",
        help="measure how fast it is here",
        description="Measure queries one by one and sentences in one call, texts in and vectors "
        "out. Medians; for a second each, after a warm-up.",
    )
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.add_argument(
        "--seconds", type=positive, default=1, metavar="N", help="time for each (default: 1)"
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    model = load_model(arguments)
    queries = [_QUERY.format(number) for number in range(_QUERIES)]
    sentences = [_SENTENCE.format(number) for number in range(_SENTENCES)]
    turn = iter(range(1 << 62))
    query_times = _time(lambda: model.encode(queries[next(turn) % _QUERIES]), arguments.seconds)
    sentence_times = _time(lambda: model.encode(sentences), arguments.seconds)
    tokens = int(model.count_tokens(sentences).used.sum())
    facts = {
        "query_p50_ms": round(1e3 * statistics.median(query_times), 4),
        "query_p99_ms": round(1e3 * statistics.quantiles(query_times, n=100)[-1], 4),
        "query_tokens": int(model.count_tokens(queries[:1]).used[0]),
        "tokens_per_second": round(tokens / statistics.median(sentence_times)),
        "sentences_per_second": round(_SENTENCES / statistics.median(sentence_times)),
        **_provenance(model),
    }
    if arguments.json:
        print(json.dumps(facts))
    else:
        print("\n".join(f"{name.replace('_', ' '):21}{value}" for name, value in facts.items()))
    return 0


def _time(call: Callable[[], object], seconds: int) -> list[float]:
    """Return the seconds of each call, in so many seconds, at least two calls."""
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def _provenance(model: Any) -> dict[str, Any]:
    import numpy
    import tokenizers

    from bge_micro import _core

    return {
        "cpu": _cpu_name(),
        "isa": model.isa,
        "threads": model.threads,
        "thread_backend": _core.parallel_backend,
        "compute_type": model.compute_type,
        "space_id": model.space_id,
        "bge_micro": __version__,
        "numerics_version": _core.numerics_version,
        "numpy": numpy.__version__,
        "tokenizers": tokenizers.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _cpu_name() -> str:
    """Return the CPU's name, as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
