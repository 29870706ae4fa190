"""``bge-micro index``: texts to a folder that ``bge-micro search`` looks through."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bge_micro.choices import PRECISIONS
from bge_micro.cli.encoding import encode_blocks, load_model, prompt_of, show_progress
from bge_micro.cli.fields import parse_names
from bge_micro.cli.hits import row_numbers
from bge_micro.cli.messages import warn
from bge_micro.cli.notes import index_notes
from bge_micro.cli.own_input import refuse_own_input
from bge_micro.cli.parser import UsageError, add_model_options, add_text_options, positive
from bge_micro.cli.texts import Row, TextInput, open_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bge_micro import SentenceTransformer
    from bge_micro.search.known import KnownVectors
    from bge_micro.search.saved import IndexWriter


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand's parser."""
    parser = commands.add_parser(
        "index",
        help="save texts and their vectors, to be searched",
        description="Make the folder OUT of texts, their vectors and the name of the vectors' "
        "space. It appears only when it is complete; an index that is there is replaced. If FILE "
        "is a folder, its notes (.md, .markdown, .txt) are read, a row a section; the same command "
        "again encodes only what has changed.",
    )
    add_text_options(parser, skip_blank=True)
    group = parser.add_argument_group("output")
    group.add_argument("-o", "--output", metavar="OUT", required=True, help="the folder to make")
    group.add_argument(
        "--truncate-dim", type=positive, metavar="N", help="cut vectors to N dimensions"
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="of the vectors: int8 takes a quarter of the memory of float32, binary a 32nd "
        "(default: float32)",
    )
    rows = parser.add_argument_group("ids, metadata, changes")
    rows.add_argument(
        "--ids", metavar="NAME", help="the key or column that holds the rows' ids, all different"
    )
    rows.add_argument(
        "--metadata",
        metavar="NAMES",
        help="keys or columns to save with each row, as id,title, or all of them, as all",
    )
    change = rows.add_mutually_exclusive_group()
    change.add_argument(
        "--add",
        action="store_true",
        help="add the texts to the index that is there; until all are added it is the old one",
    )
    change.add_argument(
        "--resume",
        action="store_true",
        help="go on with what a run of this command has left unfinished, if it has",
    )
    change.add_argument(
        "--remove",
        nargs="+",
        metavar="ID",
        help="remove the rows with these ids, and read no texts",
    )
    change.add_argument(
        "--remove-from",
        metavar="FILE",
        help="the same of the ids in FILE, one a line; - is standard input",
    )
    notes = parser.add_argument_group("a folder of notes, -i FOLDER")
    notes.add_argument(
        "--overlap",
        type=positive,
        metavar="N",
        help="tokens that passages of a long section share with the one before (default: 0)",
    )
    notes.add_argument(
        "--follow-links", action="store_true", help="follow links, also out of the folder"
    )
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    if arguments.remove is not None or arguments.remove_from is not None:
        return _remove(arguments)
    if arguments.input is not None and os.path.isdir(arguments.input):
        if arguments.texts:
            raise UsageError("give texts as arguments or by -i, not both")
        return index_notes(arguments)
    if arguments.overlap or arguments.follow_links:
        raise UsageError("--overlap and --follow-links are for a folder of notes: -i FOLDER")
    refuse_own_input(arguments, arguments.output)
    with open_texts(arguments) as texts:
        model = load_model(arguments)
        if arguments.add:
            _add(arguments, model, texts)
        else:
            _make(arguments, model, texts)
    return 0


def _make(arguments: argparse.Namespace, model: SentenceTransformer, texts: TextInput) -> None:
    """Make an index, or replace the one that is there."""
    from bge_micro.search.saved import new_index
    from bge_micro.search.space import index_options

    options = index_options(arguments.truncate_dim, arguments.precision)
    space_id = model.space_id_of(**options)
    prompt = prompt_of(model, arguments.prompt, arguments.prompt_name, model.document_prompt)
    known = _unfinished(arguments.output, space_id, prompt) if arguments.resume else None
    none = model.encode([], **options)
    writer = None
    try:
        with new_index(
            arguments.output, space_id, options, none, prompt=prompt, resume=arguments.resume
        ) as writer:
            blocks = encode_blocks(model, texts, arguments, known=known, prompt=prompt, **options)
            _write(arguments, writer, texts, blocks, {})
    except BaseException:
        if writer and writer.kept:
            warn(
                f"{arguments.output}: {writer.kept} rows are done and kept; the same command with "
                "--resume goes on from there."
            )
        raise


def _unfinished(folder: str, space_id: str, prompt: str) -> KnownVectors:
    """Return the vectors of an interrupted run, which are those that this run would make."""
    from bge_micro.search.known import KnownVectors
    from bge_micro.search.saved import UNFINISHED_FILE, SavedIndexError, open_index

    known = KnownVectors()
    with suppress(FileNotFoundError, NotADirectoryError, SavedIndexError):
        saved = open_index(folder, name=UNFINISHED_FILE)
        if (saved.space_id, saved.prompt) != (space_id, prompt):
            raise ValueError(
                f"{folder}: the unfinished work is of another model or prompt, or has other "
                "vectors; give the same options, or leave --resume away to begin anew."
            )
        known.add(saved, range(saved.facts.rows))
    return known


def _add(arguments: argparse.Namespace, model: SentenceTransformer, texts: TextInput) -> None:
    """Append to the index that is there."""
    from bge_micro.search.labels import IdTable
    from bge_micro.search.saved import IndexChangedError, append_index
    from bge_micro.search.space import open_index_of

    folder = arguments.output
    saved = open_index_of(model, folder)
    options = saved.options
    for name in ("precision", "truncate_dim"):
        option = f"--{name.replace('_', '-')}"
        if option in arguments.given and getattr(arguments, name) != options[name]:
            raise UsageError(f"{folder} was made with {name} {options[name]}: leave {option} away")
    theirs = model.document_prompt if saved.prompt is None else saved.prompt
    prompt = prompt_of(model, arguments.prompt, arguments.prompt_name, theirs)
    if prompt != theirs:
        raise UsageError(f"the prompt is {prompt!r}, and the texts of {folder} have {theirs!r}")
    taken = dict(IdTable(saved.ids).rows()) if saved.ids is not None else {}
    try:
        with append_index(folder, saved.facts, model.encode([], **options)) as writer:
            blocks = encode_blocks(model, texts, arguments, prompt=prompt, **options)
            _write(arguments, writer, texts, blocks, taken)
    except IndexChangedError:
        raise ValueError(
            f"{folder}: another process has changed the index; give the command again."
        ) from None


def _write(
    arguments: argparse.Namespace,
    writer: IndexWriter,
    texts: TextInput,
    blocks: Iterator[tuple[list[Row], NDArray[Any]]],
    taken: dict[str, int],
) -> None:
    """Write blocks behind the rows that are there.

    Args:
        arguments: Of the command.
        writer: Of the index.
        texts: What the blocks are from.
        blocks: Rows and their vectors.
        taken: The row of each id.
    """
    first = writer.rows
    with show_progress(texts, to_terminal=False) as advance:
        for rows, vectors in blocks:
            ids, metadata = None, None
            if arguments.ids is not None:
                ids = [_id_of(row, arguments.ids, texts, taken) for row in rows]
            if arguments.metadata is not None:
                metadata = [_metadata_of(row, arguments.metadata) for row in rows]
            else:
                metadata = row_numbers(rows, writer.rows, first)
            writer.append([row.text for row in rows], vectors, ids, metadata)
            if not arguments.add:
                writer.checkpoint()
            advance(len(rows))


def _id_of(row: Row, name: str, texts: TextInput, taken: dict[str, int]) -> str | None:
    """Return a row's id, and note it as taken; a whole number is its digits."""
    value = row.kept.get(name)
    where = f"{texts.name}: {texts.unit} {row.place}"
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{where}: the id {value!r} is no string and no whole number.")
    found = str(value)
    if found in taken:
        raise ValueError(f"{where}: the id {found!r} is there already; each row has its own.")
    taken[found] = row.place
    return found


def _metadata_of(row: Row, names: str) -> Any:
    from bge_micro.vector_files.kept import jsonable

    chosen, is_all = parse_names(names)
    return jsonable(row.kept if is_all else {name: row.kept.get(name) for name in chosen})


def _remove(arguments: argparse.Namespace) -> int:
    """Remove rows by their ids."""
    from bge_micro.search import Index

    if arguments.texts or arguments.input is not None:
        raise UsageError("--remove reads no texts: give the ids behind it, and -o")
    ids = arguments.remove
    if ids is None:
        source = sys.stdin.buffer.read() if arguments.remove_from == "-" else None
        data = Path(arguments.remove_from).read_bytes() if source is None else source
        ids = [line for line in data.decode("utf-8-sig").splitlines() if line]
    index = Index.load(arguments.output, load_model(arguments))
    index.remove(ids)
    index.save(arguments.output)
    return 0
