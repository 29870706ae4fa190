"""``bge-micro embed``: texts in, vectors out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from itertools import islice
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
_KEEP = ("jsonl", "parquet", "npz")
_HOLD_NUMBERS = ("jsonl", "parquet", "npz", "safetensors")

# Rows named in a message.
_NAMED = 10


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
    group.add_argument(
        "--keep",
        metavar="NAMES",
        help="carry these keys or columns of the input along, as id,title, or all of them, as all "
        "(JSONL, Parquet and npz)",
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
        output = _make_output(to_format, model, options, texts, arguments)
        to_terminal = arguments.output is None and sys.stdout.isatty()
        with show_progress(texts, to_terminal=to_terminal) as advance:
            if arguments.output is None:
                for rows, vectors in encode_blocks(model, texts, arguments, **options):
                    output.append(sys.stdout.buffer, _block(output, rows, vectors))
                    advance(len(rows))
            else:
                _write_file(arguments, to_format, output, texts, model, options, advance)
    return 0


def _write_file(
    arguments: argparse.Namespace,
    to_format: str,
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
        "keep": arguments.keep,
        "errors": arguments.errors,
        "skip_blank": arguments.skip_blank,
        "batch_size": arguments.batch_size,
    }
    with resumable(arguments.output, identity, resume=arguments.resume, tell=warn) as partial:
        blocks = texts.blocks(arguments.batch_size)
        truncated = Truncated(partial.done.truncated)
        if partial.done.rows:
            none = model.encode([], **options)
            partial.skip_done(blocks, lambda rows: output.remember(_block(output, rows, none)))
            advance(partial.done.rows)
        else:
            output.begin(partial.file)
        encoded = encode_blocks(
            model, texts, arguments, blocks=blocks, truncated=truncated, **options
        )
        for rows, vectors in encoded:
            block = _block(output, rows, vectors)
            output.remember(block)
            output.append(partial.file, block)
            partial.note(rows, truncated.count)
            advance(len(rows))
        output.finish(partial.file, partial.done.rows)
        partial.publish(output.assemble if output.assembled else None)
    if to_format not in _HOLD_NUMBERS:
        _tell_of_missing_rows(arguments.output, output)


def _tell_of_missing_rows(path: str, output: VectorFormat) -> None:
    missing = list(islice(output.numbers.missing(), _NAMED + 1))
    if missing:
        named = ", ".join(map(str, missing[:_NAMED])) + (", ..." if missing[_NAMED:] else "")
        warn(
            f"{path}: rows {named} of the input were left out (numbers from 0), and .npy cannot "
            "say so: the vectors behind them moved up; .npz, .safetensors, .parquet and .jsonl "
            "hold the numbers of their rows."
        )


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
    if arguments.keep is not None and to_format not in _KEEP:
        raise UsageError(f"--keep applies to JSONL, Parquet and npz only, not to {to_format}")
    return str(to_format)


def _make_output(
    to_format: str,
    model: SentenceTransformer,
    options: dict[str, Any],
    texts: TextInput,
    arguments: argparse.Namespace,
) -> VectorFormat:
    from bge_micro.vector_files import FORMATS, Layout

    none = model.encode([], **options)
    layout = Layout(
        none.dtype,
        none.shape[1],
        model.space_id_of(**options),
        arguments.with_text,
        with_rows=arguments.errors == "skip" or arguments.skip_blank,
        keep=arguments.keep is not None,
        kept_types=texts.kept_types,
    )
    return FORMATS[to_format](layout)


def _block(output: VectorFormat, rows: list[Row], vectors: NDArray[Any]) -> Block:
    from bge_micro.vector_files import Block

    own = set(output.own_names)
    if not output.layout.with_text:
        own.discard("text")
    for row in rows:
        if taken := own & row.kept.keys():
            raise ValueError(
                f"--keep: the output has its own {min(taken)!r}, so the input's cannot be kept; "
                "name the others"
            )
    numbers, texts = [row.index for row in rows], [row.text for row in rows]
    return Block(numbers, texts, vectors, [row.kept for row in rows])
