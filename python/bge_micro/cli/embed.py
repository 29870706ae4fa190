"""``bge-micro embed``: texts in, vectors out."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bge_micro.cli.encoding import encode_blocks, load_model
from bge_micro.cli.output_file import replacing
from bge_micro.cli.parser import UsageError, add_model_options, add_text_options, positive
from bge_micro.cli.texts import TextInput, open_texts

if TYPE_CHECKING:
    from bge_micro import SentenceTransformer
    from bge_micro.cli.vectors import Write

# As the library's, for the same reason as those in parser.py.
PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")

_FORMATS = {".npy": "npy", ".npz": "npz", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand's parser."""
    parser = commands.add_parser(
        "embed",
        help="turn texts into vectors",
        description="Turn texts into vectors, one row a text, in order. Without -o they go to "
        'standard output as JSONL: {"index": 0, "embedding": [...]} a line.',
    )
    add_text_options(parser)
    group = parser.add_argument_group("output")
    group.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write FILE.npy, FILE.npz (with the vectors' space_id) or FILE.jsonl; it appears "
        "only when it is complete",
    )
    group.add_argument(
        "--format", choices=("npy", "npz", "jsonl"), help="write this, whatever the file's ending"
    )
    group.add_argument("--with-text", action="store_true", help="write the texts too (JSONL only)")
    group.add_argument("--normalize", action="store_true", help="bring vectors to unit length")
    group.add_argument(
        "--truncate-dim", type=positive, metavar="N", help="cut vectors to N dimensions"
    )
    group.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="default: float32"
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    to_format = _output_format(arguments)
    with open_texts(arguments) as texts:
        model = load_model(arguments)
        options = {
            "normalize_embeddings": arguments.normalize,
            "truncate_dim": arguments.truncate_dim,
            "precision": arguments.precision,
        }
        with (
            _open_output(arguments, to_format, model, options) as write,
            _progress(arguments, texts) as advance,
        ):
            for rows, vectors in encode_blocks(model, texts, arguments, **options):
                write(rows, vectors)
                advance(len(rows))
    return 0


def _output_format(arguments: argparse.Namespace) -> str:
    path = arguments.output
    if path is None:
        if arguments.format in ("npy", "npz"):
            raise UsageError(f"{arguments.format} goes to a file only: give -o FILE")
        return "jsonl"
    ending = Path(path).suffix.lower()
    to_format = arguments.format or _FORMATS.get(ending)
    if to_format is None:
        raise UsageError(
            f"{path} does not say its format: let it end in {', '.join(_FORMATS)}, or give --format"
        )
    if arguments.with_text and to_format != "jsonl":
        raise UsageError(f"--with-text applies to JSONL only, not to {to_format}")
    return str(to_format)


@contextmanager
def _open_output(
    arguments: argparse.Namespace,
    to_format: str,
    model: SentenceTransformer,
    options: dict[str, Any],
) -> Iterator[Write]:
    from bge_micro.cli.vectors import jsonl_writer, npy_writer, npz_writer

    if arguments.output is None:
        yield jsonl_writer(sys.stdout.buffer, arguments.with_text)
        return
    with replacing(arguments.output) as file:
        if to_format == "jsonl":
            yield jsonl_writer(file, arguments.with_text)
            return
        none = model.encode([], **options)
        if to_format == "npy":
            with npy_writer(file, none.dtype, none.shape[1]) as write:
                yield write
        else:
            space_id = model.space_id_of(**options)
            with npz_writer(file, none.dtype, none.shape[1], space_id) as write:
                yield write


def _progress(
    arguments: argparse.Namespace, texts: TextInput
) -> AbstractContextManager[Callable[[int], object]]:
    """Show a bar on a terminal, unless the vectors go there too or the texts came from there."""
    from bge_micro.progress import progress_bar

    show = (
        sys.stderr.isatty()
        and (arguments.output is not None or not sys.stdout.isatty())
        and texts.unit == "line"
        and importlib.util.find_spec("tqdm") is not None
    )
    return progress_bar(show, texts.total)
