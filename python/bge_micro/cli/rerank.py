"""``bge-micro rerank``: texts in the order of a reranker's scores for a query."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bge_micro.cli.encoding import load_reranker
from bge_micro.cli.hits import Labels, found_rows, json_lines, lines_for_people, row_numbers, tsv
from bge_micro.cli.messages import warn
from bge_micro.cli.own_input import refuse_own_input
from bge_micro.cli.parser import UsageError, add_model_options, add_text_options, positive
from bge_micro.cli.queries import read_queries
from bge_micro.cli.texts import open_text_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bge_micro import CrossEncoder
    from bge_micro.search import TopK


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand's parser."""
    parser = commands.add_parser(
        "rerank",
        help="order texts by a reranker's scores for a query",
        description="Score every text of FILE for each QUERY with the cross-encoder --model, and "
        "show the best. The output is that of search. For many texts use search --rerank.",
    )
    add_text_options(parser, texts="QUERY", skip_blank=True)
    parser.add_argument(
        "-k", type=positive, default=10, metavar="N", help="how many to show (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="as a JSON object a query")
    add_model_options(parser, prompts=False)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    import numpy as np

    if arguments.model is None:
        raise UsageError(
            "rerank needs a cross-encoder: give --model, a folder or a name on the hub"
        )
    if arguments.input is None:
        raise UsageError(
            "rerank orders the texts of a file: give -i FILE, or -i - for standard input"
        )
    if arguments.input == "-" and arguments.texts == ["-"]:
        raise UsageError("standard input cannot be both the queries and the texts: give -i FILE")
    refuse_own_input(arguments, None)
    queries = read_queries(arguments)
    model = load_reranker(arguments, arguments.model, truncation=arguments.truncation)
    texts: list[str] = []
    numbers: list[dict[str, int] | None] = []
    with open_text_file(arguments.input, arguments) as rows:
        for block in rows.blocks(arguments.batch_size):
            numbers.extend(row_numbers(block, len(texts)))
            texts.extend(row.text for row in block)
    if not texts:
        warn(f"{arguments.input}: holds no texts.")
    everything = np.tile(np.arange(len(texts)), (len(queries), 1))
    found = reranked(model, queries, texts, everything, arguments.k)
    lines = json_lines if arguments.json else lines_for_people if sys.stdout.isatty() else tsv
    for line in lines(queries, found_rows(found, Labels(texts, metadata=numbers))):
        sys.stdout.buffer.write(f"{line}\n".encode(errors="replace"))
    return 0


def reranked(
    model: CrossEncoder,
    queries: Sequence[str],
    texts: Sequence[str],
    candidates: NDArray[Any],
    k: int,
) -> TopK:
    """Return the k best of some texts for each query, by a reranker's scores.

    Args:
        model: The reranker, of one label.
        queries: n queries.
        texts: All texts.
        candidates: Numbers of texts for each query, (n, candidates).
        k: How many to return; all candidates if there are fewer.
    """
    import numpy as np

    from bge_micro.search import TopK

    scores = np.empty(candidates.shape, np.float32)
    with warnings.catch_warnings(record=True) as caught:  # of pairs that are too long
        warnings.simplefilter("always")
        for query, rows, row_scores in zip(queries, candidates.tolist(), scores, strict=True):
            if rows:
                row_scores[:] = model.predict([(query, texts[row]) for row in rows])
    for warning in caught:
        warn(str(warning.message))
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return TopK(*(np.take_along_axis(each, best, 1) for each in (candidates, scores)))
