"""``bge-micro similarity``: how alike texts are."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bge_micro.cli.encoding import encode_blocks, load_model
from bge_micro.cli.own_input import refuse_own_input
from bge_micro.cli.parser import UsageError, add_model_options, add_text_options
from bge_micro.cli.texts import open_texts

if TYPE_CHECKING:
    from bge_micro import SentenceTransformer

# Rows of the matrix that are computed together, to keep memory bounded.
_MATRIX_ROWS = 256

# What would break a line of TSV.
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand's parser."""
    parser = commands.add_parser(
        "similarity",
        help="compare texts",
        description="Compare the first TEXT with each of the others; or, given -i FILE or -, each "
        "line with each line. On a terminal a table with numbers of lines, in a pipe plain "
        "tab-separated values.",
    )
    add_text_options(parser)
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="draw all against all as a heat map to FILE.png, .svg or .pdf, and print nothing; "
        "needs the extra bge-micro[plot]",
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    import numpy as np

    refuse_own_input(arguments, arguments.plot)
    if arguments.plot is not None:
        from bge_micro.cli.heat_map import check_plot

        check_plot(arguments.plot)
    with open_texts(arguments) as texts:
        as_matrix = texts.unit != "argument"
        if not as_matrix and texts.total < 2:
            raise UsageError("similarity compares texts: give two or more")
        model = load_model(arguments)
        rows: list[str] = []
        blocks = [model.encode([])]
        for block, vectors in encode_blocks(model, texts, arguments):
            rows.extend(row.text for row in block)
            blocks.append(vectors)
    all_vectors = np.concatenate(blocks)
    if arguments.plot is not None:
        _plot(model, all_vectors, rows, arguments.plot)
        return 0
    for_people = sys.stdout.isatty()
    if as_matrix:
        lines = _matrix(model, all_vectors, for_people)
    else:
        lines = _scores(model, all_vectors, rows[1:], for_people)
    for line in lines:
        sys.stdout.buffer.write(f"{line}\n".encode(errors="replace"))
    return 0


def _plot(model: SentenceTransformer, vectors: Any, texts: list[str], path: str) -> None:
    from bge_micro.cli.heat_map import MOST_TEXTS, write_heat_map

    if not 1 <= len(texts) <= MOST_TEXTS:
        raise ValueError(f"a heat map shows 1 to {MOST_TEXTS} texts, not {len(texts)}.")
    scores = model.similarity(vectors, vectors)
    write_heat_map(path, scores, texts, f"{model.similarity_fn_name} similarity")


def _scores(
    model: SentenceTransformer, vectors: Any, others: list[str], for_people: bool
) -> Iterator[str]:
    """Yield a line for each text that the first is compared with."""
    scores = model.similarity(vectors[:1], vectors[1:])[0].tolist()
    width = shutil.get_terminal_size().columns - len("-0.0000  ")
    for score, text in zip(scores, others, strict=True):
        if for_people:
            yield f"{score:7.4f}  {shown(text, width)}"
        else:
            yield f"{score:.6f}\t{text.translate(ESCAPES)}"


def _matrix(model: SentenceTransformer, vectors: Any, for_people: bool) -> Iterator[str]:
    """Yield a line for each text, with its similarity to every text."""
    count = len(vectors)
    if for_people:
        yield " " * 6 + "".join(f"{column:8}" for column in range(1, count + 1))
    for start in range(0, count, _MATRIX_ROWS):
        scores = model.similarity(vectors[start : start + _MATRIX_ROWS], vectors).tolist()
        for number, row in enumerate(scores, start + 1):
            if for_people:
                yield f"{number:6}" + "".join(f"{score:8.4f}" for score in row)
            else:
                yield "\t".join(f"{score:.6f}" for score in row)


def shown(text: str, width: int) -> str:
    """Return a text as it is shown in one line of a terminal, which it cannot control."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: width + 1])
    return shown if len(shown) <= width else shown[: max(0, width - 3)] + "..."
