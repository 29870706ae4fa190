"""``bge-micro embed``: texts in, vectors out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bge_micro.choices import FILE_FORMATS, PRECISIONS
from bge_micro.cli.encoding import Truncated, encode_blocks, load_model, show_progress
from bge_micro.cli.messages import warn
from bge_micro.cli.own_input import refuse_own_input
from bge_micro.cli.parser import UsageError, add_model_options, add_text_options, positive
from bge_micro.cli.texts import Row, TextInput, open_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bge_micro import SentenceTransformer
    from bge_micro.vector_files import Block, VectorFormat

_ENDINGS = {f".{name}": name for name in FILE_FORMATS} | {".ndjson": "jsonl"}
_WITH_TEXT = ("jsonl", "parquet")


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
        help="write FILE.npy, .npz, .safetensors, .parquet or .jsonl; it appears only when it is "
        "complete; npz, safetensors and parquet name the vectors' space too",
    )
    group.add_argument(
        "--format", choices=FILE_FORMATS, help="write this, whatever the file's ending"
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on with what a run of the same command has left unfinished, if it has",
    )
    group.add_argument(
        "--with-text", action="store_true", help="write the texts too (JSONL and Parquet)"
    )
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
    refuse_own_input(arguments, arguments.output)
    with open_texts(arguments) as texts:
        model = load_model(arguments)
        options = {
            "normalize_embeddings": arguments.normalize,
            "truncate_dim": arguments.truncate_dim,
            "precision": arguments.precision,
        }
        output = _make_output(to_format, model, options, arguments.with_text)
        to_terminal = arguments.output is None and sys.stdout.isatty()
        with show_progress(texts, to_terminal=to_terminal) as advance:
            if arguments.output is None:
                for rows, vectors in encode_blocks(model, texts, arguments, **options):
                    output.append(sys.stdout.buffer, _block(rows, vectors))
                    advance(len(rows))
            else:
                _write_file(arguments, output, texts, model, options, advance)
    return 0


def _write_file(
    arguments: argparse.Namespace,
    output: VectorFormat,
    texts: TextInput,
    model: SentenceTransformer,
    options: dict[str, Any],
    advance: Callable[[int], object],
) -> None:
    from bge_micro.cli.partial_file import resumable

    identity = {
        "format": arguments.format or Path(arguments.output).suffix.lower(),
        "space_id": output.layout.space_id,
        "prompt": model.prompts.get(model.default_prompt_name or ""),
        "with_text": arguments.with_text,
        "errors": arguments.errors,
        "skip_blank": arguments.skip_blank,
        "batch_size": arguments.batch_size,
    }
    with resumable(arguments.output, identity, resume=arguments.resume, tell=warn) as partial:
        blocks = texts.blocks(arguments.batch_size)
        truncated = Truncated(partial.done.truncated)
        if partial.done.rows:
            partial.skip_done(blocks)
            advance(partial.done.rows)
        else:
            output.begin(partial.file)
        encoded = encode_blocks(
            model, texts, arguments, blocks=blocks, truncated=truncated, **options
        )
        for rows, vectors in encoded:
            output.append(partial.file, _block(rows, vectors))
            partial.note(rows, truncated.count)
            advance(len(rows))
        output.finish(partial.file, partial.done.rows)
        partial.publish(output.assemble if output.assembled else None)


def _output_format(arguments: argparse.Namespace) -> str:
    path = arguments.output
    if path is None:
        if arguments.resume:
            raise UsageError("--resume goes on with a file: give -o FILE")
        if arguments.format not in (None, "jsonl"):
            raise UsageError(f"{arguments.format} goes to a file only: give -o FILE")
        return "jsonl"
    ending = Path(path).suffix.lower()
    to_format = arguments.format or _ENDINGS.get(ending)
    if to_format is None:
        raise UsageError(
            f"{path} does not say its format: let it end in {', '.join(_ENDINGS)}, or give --format"
        )
    if arguments.with_text and to_format not in _WITH_TEXT:
        raise UsageError(f"--with-text applies to JSONL and Parquet only, not to {to_format}")
    return str(to_format)


def _make_output(
    to_format: str, model: SentenceTransformer, options: dict[str, Any], with_text: bool
) -> VectorFormat:
    from bge_micro.vector_files import FORMATS, Layout

    none = model.encode([], **options)
    layout = Layout(none.dtype, none.shape[1], model.space_id_of(**options), with_text)
    return FORMATS[to_format](layout)


def _block(rows: list[Row], vectors: NDArray[Any]) -> Block:
    from bge_micro.vector_files import Block

    return Block([row.index for row in rows], [row.text for row in rows], vectors)
