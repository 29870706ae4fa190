"""``bge-micro search``: the texts that are most like a query."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bge_micro.cli.encoding import encode_blocks, load_model, warn
from bge_micro.cli.hits import Labels, found_rows, json_lines, lines_for_people, tsv
from bge_micro.cli.parser import UsageError, add_model_options, add_text_options, positive
from bge_micro.cli.texts import open_text_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bge_micro import SentenceTransformer

_VECTOR_FILES = (".npz", ".safetensors")


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand's parser."""
    parser = commands.add_parser(
        "search",
        help="find the texts that are most like a query",
        description="Find what is most like each QUERY in FILE, by cosine. FILE is a file of "
        "texts, a folder made by index, or vectors with their space's name (npz, safetensors, "
        "parquet) as embed writes them; vectors of another model are refused. On a terminal a "
        "list, in a pipe tab-separated values: query, rank, score, row, text; of notes path:line, "
        "heading and passage instead of row and text.",
    )
    add_text_options(parser, texts="QUERY")
    parser.add_argument(
        "-k", type=positive, default=10, metavar="N", help="how many to find (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="as a JSON object a query")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    from bge_micro.search import top_k
    from bge_micro.search.space import metric_for

    if arguments.input in (None, "-"):
        raise UsageError("search looks through a file: give -i FILE")
    queries = _read_queries(arguments)
    model = load_model(arguments)
    labels, vectors, options = _open_corpus(model, arguments)
    asked = model.encode_query(queries, **options)
    found = top_k(
        asked,
        vectors,
        arguments.k,
        metric=metric_for(options),
        precision=options["precision"],
        threads=model.threads,
    )
    lines = json_lines if arguments.json else lines_for_people if sys.stdout.isatty() else tsv
    for line in lines(queries, found_rows(found, labels)):
        sys.stdout.buffer.write(f"{line}\n".encode(errors="replace"))
    return 0


def _read_queries(arguments: argparse.Namespace) -> list[str]:
    queries: list[str] = arguments.texts
    if queries == ["-"]:
        lines = sys.stdin.buffer.read().decode("utf-8").splitlines()
        queries = [line for line in lines if line.strip()]
    elif not queries:
        raise UsageError("no query: give QUERY arguments, or - for lines of standard input")
    return queries


# What is known of the rows; their vectors; and how queries are to be encoded.
_Corpus = tuple[Labels, "NDArray[Any]", "dict[str, Any]"]


def _open_corpus(model: SentenceTransformer, arguments: argparse.Namespace) -> _Corpus:
    path = Path(arguments.input)
    if path.is_dir():
        return _open_index(model, path)
    if path.suffix.lower() == ".npy":
        raise UsageError(
            f"{path} does not say of which model its vectors are: embed to .npz, .safetensors or "
            ".parquet, or use index"
        )
    if path.suffix.lower() in _VECTOR_FILES or _holds_vectors(path):
        return _open_vectors(model, path)
    return _encode_corpus(model, arguments)


def _open_index(model: SentenceTransformer, path: Path) -> _Corpus:
    from bge_micro.search.space import open_index_of

    saved = open_index_of(model, path)
    return Labels(saved.texts, saved.ids, saved.metadata), saved.vectors, saved.options


def _open_vectors(model: SentenceTransformer, path: Path) -> _Corpus:
    from bge_micro.search.space import check_space, options_of
    from bge_micro.vector_files import read_vectors

    saved = read_vectors(path)
    options = options_of(saved.space_id)
    check_space(path, saved.space_id, model.space_id_of(**options))
    return Labels(saved.texts), saved.vectors, options


def _holds_vectors(path: Path) -> bool:
    if path.suffix.lower() != ".parquet":
        return False
    from bge_micro.arrow import import_pyarrow

    import_pyarrow()
    from pyarrow import parquet

    return b"space_id" in (parquet.read_schema(path).metadata or {})


def _encode_corpus(model: SentenceTransformer, arguments: argparse.Namespace) -> _Corpus:
    import numpy as np

    from bge_micro.search.space import index_options

    texts: list[str] = []
    options = index_options(None, "float32")
    blocks = [model.encode([], **options)]
    with open_text_file(arguments.input, arguments) as rows:
        for block, vectors in encode_blocks(model, rows, arguments, **options):
            texts.extend(row.text for row in block)
            blocks.append(vectors)
    if not texts:
        warn(f"{arguments.input}: holds no texts.")
    return Labels(texts), np.concatenate(blocks), options
