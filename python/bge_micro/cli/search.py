"""``bge-micro search``: the texts that are most like a query."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bge_micro.cli.encoding import encode_blocks, load_model, warn
from bge_micro.cli.parser import UsageError, add_model_options, add_text_options, positive
from bge_micro.cli.similarity import ESCAPES, shown
from bge_micro.cli.texts import open_text_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bge_micro import SentenceTransformer
    from bge_micro.search import TopK

_VECTOR_FILES = (".npz", ".safetensors")


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand's parser."""
    parser = commands.add_parser(
        "search",
        help="find the texts that are most like a query",
        description="Find what is most like each QUERY in FILE, by cosine. FILE is a file of "
        "texts, a folder made by index, or vectors with their space's name (npz, safetensors, "
        "parquet) as embed writes them; vectors of another model are refused. On a terminal a "
        "list, in a pipe tab-separated values: query, rank, score, row, text.",
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
    texts, vectors, options = _open_corpus(model, arguments)
    asked = model.encode_query(queries, **options)
    found = top_k(
        asked,
        vectors,
        arguments.k,
        metric=metric_for(options),
        precision=options["precision"],
        threads=model.threads,
    )
    lines = _json_lines if arguments.json else _list if sys.stdout.isatty() else _tsv
    for line in lines(queries, found, texts):
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


# Texts, or None where only vectors were saved; vectors; and how queries are to be encoded.
_Corpus = tuple["Sequence[str] | None", "NDArray[Any]", "dict[str, Any]"]


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
    return saved.texts, saved.vectors, saved.options


def _open_vectors(model: SentenceTransformer, path: Path) -> _Corpus:
    from bge_micro.search.space import check_space, options_of
    from bge_micro.vector_files import read_vectors

    saved = read_vectors(path)
    options = options_of(saved.space_id)
    check_space(path, saved.space_id, model.space_id_of(**options))
    return saved.texts, saved.vectors, options


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
    return texts, np.concatenate(blocks), options


def _tsv(queries: Sequence[str], found: TopK, texts: Sequence[str] | None) -> Iterator[str]:
    for number, hits in enumerate(_hits(found, texts), 1):
        for rank, (row, score, text) in enumerate(hits, 1):
            yield f"{number}\t{rank}\t{score:.6f}\t{row}\t{(text or '').translate(ESCAPES)}"


def _json_lines(queries: Sequence[str], found: TopK, texts: Sequence[str] | None) -> Iterator[str]:
    for query, hits in zip(queries, _hits(found, texts), strict=True):
        rows = [
            {"row": row, "score": score} | ({} if text is None else {"text": text})
            for row, score, text in hits
        ]
        yield json.dumps({"query": query, "hits": rows})


def _list(queries: Sequence[str], found: TopK, texts: Sequence[str] | None) -> Iterator[str]:
    columns = shutil.get_terminal_size().columns
    for query, hits in zip(queries, _hits(found, texts), strict=True):
        if len(queries) > 1:
            yield f"> {shown(query, columns - 2)}"
        for row, score, text in hits:
            start = f"{score:7.4f} {row:8}  "
            yield start + shown(text or "", columns - len(start))


def _hits(
    found: TopK, texts: Sequence[str] | None
) -> Iterator[list[tuple[int, float, str | None]]]:
    for rows, scores in zip(found.indices.tolist(), found.scores.tolist(), strict=True):
        yield [
            (row, score, None if texts is None else texts[row])
            for row, score in zip(rows, scores, strict=True)
        ]
