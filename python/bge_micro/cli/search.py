"""``bge-micro search``: the texts that are most like a query."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bge_micro.cli.encoding import encode_blocks, load_model, load_reranker, prompt_of
from bge_micro.cli.hits import (
    Labels,
    found_rows,
    json_lines,
    lines_for_people,
    row_numbers,
    tsv,
)
from bge_micro.cli.messages import warn
from bge_micro.cli.own_input import refuse_own_input
from bge_micro.cli.parser import (
    UsageError,
    add_model_options,
    add_prompt_options,
    add_text_options,
    positive,
)
from bge_micro.cli.queries import read_queries
from bge_micro.cli.texts import open_text_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bge_micro import SentenceTransformer

_VECTOR_FILES = (".npz", ".safetensors")

# Options that say how texts are read.
_FOR_TEXTS = {"--batch-size", "--errors", "--field", "--input-format"}


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
    add_text_options(parser, texts="QUERY", skip_blank=True)
    parser.add_argument(
        "-k", type=positive, default=10, metavar="N", help="how many to find (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="as a JSON object a query")
    parser.add_argument(
        "--rerank",
        metavar="MODEL",
        help="order what is found by the scores of this cross-encoder, folder or name on the hub",
    )
    parser.add_argument(
        "--candidates",
        type=positive,
        default=100,
        metavar="N",
        help="how many to find for --rerank, the best -k of which are shown (default: 100)",
    )
    add_model_options(parser, prompts=False)
    group = parser.add_argument_group(
        "prompts", "Without these options: the model's own prompts for queries and documents."
    )
    add_prompt_options(group, "query-", "each query")
    add_prompt_options(group, "document-", "each text of FILE; vectors cannot get one any more")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    from bge_micro.cli.rerank import reranked
    from bge_micro.search import top_k
    from bge_micro.search.space import metric_for

    if arguments.input is None:
        raise UsageError("search looks through a file: give -i FILE, or -i - for standard input")
    if arguments.input == "-" and arguments.texts == ["-"]:
        raise UsageError("standard input cannot be both the queries and the texts: give -i FILE")
    if "--candidates" in arguments.given and arguments.rerank is None:
        raise UsageError("--candidates says how many --rerank orders: give --rerank MODEL")
    refuse_own_input(arguments, None)
    queries = read_queries(arguments)
    model = load_model(arguments)
    labels, vectors, options = _open_corpus(model, arguments)
    prompt = prompt_of(
        model, arguments.query_prompt, arguments.query_prompt_name, model.query_prompt
    )
    asked = model.encode(queries, prompt=prompt, **options)
    found = top_k(
        asked,
        vectors,
        max(arguments.k, arguments.candidates) if arguments.rerank else arguments.k,
        metric=metric_for(options),
        precision=options["precision"],
        threads=model.threads,
    )
    if arguments.rerank:
        if labels.texts is None:
            raise UsageError(
                f"--rerank reads the texts, but {arguments.input} holds vectors only: give a file "
                "of texts or a folder made by index"
            )
        reranker = load_reranker(arguments, arguments.rerank, truncation=arguments.truncation)
        found = reranked(reranker, queries, labels.texts, found.indices, arguments.k)
    lines = json_lines if arguments.json else lines_for_people if sys.stdout.isatty() else tsv
    for line in lines(queries, found_rows(found, labels)):
        sys.stdout.buffer.write(f"{line}\n".encode(errors="replace"))
    return 0


# What is known of the rows; their vectors; and how queries are to be encoded.
_Corpus = tuple[Labels, "NDArray[Any]", "dict[str, Any]"]


def _open_corpus(model: SentenceTransformer, arguments: argparse.Namespace) -> _Corpus:
    path = Path(arguments.input)
    if path.is_dir():
        return _open_index(model, path, arguments)
    if path.suffix.lower() == ".npy":
        raise UsageError(
            f"{path} does not say of which model its vectors are: embed to .npz, .safetensors or "
            ".parquet, or use index"
        )
    if path.suffix.lower() in _VECTOR_FILES or _holds_vectors(path):
        return _open_vectors(model, path, arguments)
    return _encode_corpus(model, arguments)


def _open_index(model: SentenceTransformer, path: Path, arguments: argparse.Namespace) -> _Corpus:
    from bge_micro.search.space import open_index_of

    _refuse_text_options(arguments, f"{path} is an index")
    saved = open_index_of(model, path)
    wanted = _document_prompt(model, arguments)
    if wanted is not None and wanted != saved.prompt:
        theirs = "is not recorded" if saved.prompt is None else f"is {saved.prompt!r}"
        raise UsageError(
            f"the prompt of the texts in {path} {theirs}, and the one given is {wanted!r}: their "
            "vectors are made already; make the index anew by index --prompt"
        )
    return Labels(saved.texts, saved.ids, saved.metadata), saved.vectors, saved.options


def _document_prompt(model: SentenceTransformer, arguments: argparse.Namespace) -> str | None:
    """Return the prompt for documents that options ask for; None if none does."""
    text, name = arguments.document_prompt, arguments.document_prompt_name
    return None if text is None and name is None else prompt_of(model, text, name, "")


def _refuse_text_options(arguments: argparse.Namespace, why: str) -> None:
    if given := _FOR_TEXTS & arguments.given:
        raise UsageError(f"{why}, and {min(given)} says how texts are read")


def _open_vectors(model: SentenceTransformer, path: Path, arguments: argparse.Namespace) -> _Corpus:
    from bge_micro.search.space import check_space, options_of
    from bge_micro.vector_files import read_vectors

    _refuse_text_options(arguments, f"{path} holds vectors")
    if _document_prompt(model, arguments) is not None:
        raise UsageError(
            f"{path} holds vectors, whose texts can get no prompt any more: give it to embed, by "
            "--prompt"
        )
    saved = read_vectors(path)
    options = options_of(saved.space_id)
    check_space(path, saved.space_id, model.space_id_of(**options))
    return Labels.of_vectors(saved), saved.vectors, options


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
    numbers: list[dict[str, int] | None] = []
    options = index_options(None, "float32")
    text, name = arguments.document_prompt, arguments.document_prompt_name
    prompt = prompt_of(model, text, name, model.document_prompt)
    blocks = [model.encode([], **options)]
    with open_text_file(arguments.input, arguments) as rows:
        for block, vectors in encode_blocks(model, rows, arguments, prompt=prompt, **options):
            numbers.extend(row_numbers(block, len(texts)))
            texts.extend(row.text for row in block)
            blocks.append(vectors)
    if not texts:
        warn(f"{arguments.input}: holds no texts.")
    return Labels(texts, metadata=numbers), np.concatenate(blocks), options
