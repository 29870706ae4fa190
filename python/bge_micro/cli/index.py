"""``bge-micro index``: texts to a folder that ``bge-micro search`` looks through."""

from __future__ import annotations

import argparse
import os
from typing import Any

from bge_micro.choices import PRECISIONS
from bge_micro.cli.encoding import encode_blocks, load_model, prompt_of, show_progress
from bge_micro.cli.hits import row_numbers
from bge_micro.cli.notes import index_notes
from bge_micro.cli.own_input import refuse_own_input
from bge_micro.cli.parser import UsageError, add_model_options, add_text_options, positive
from bge_micro.cli.texts import open_texts


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
    from bge_micro.search.saved import new_index
    from bge_micro.search.space import index_options

    if arguments.input is not None and os.path.isdir(arguments.input):
        if arguments.texts:
            raise UsageError("give texts as arguments or by -i, not both")
        return index_notes(arguments)
    if arguments.overlap or arguments.follow_links:
        raise UsageError("--overlap and --follow-links are for a folder of notes: -i FOLDER")
    refuse_own_input(arguments, arguments.output)
    options = index_options(arguments.truncate_dim, arguments.precision)
    with open_texts(arguments) as texts:
        model = load_model(arguments)
        none, space_id = model.encode([], **options), model.space_id_of(**options)
        prompt = prompt_of(model, arguments.prompt, arguments.prompt_name, model.document_prompt)
        with (
            new_index(arguments.output, space_id, options, none, prompt=prompt) as writer,
            show_progress(texts, to_terminal=False) as advance,
        ):
            for rows, vectors in encode_blocks(model, texts, arguments, prompt=prompt, **options):
                numbers = row_numbers(rows, writer.rows)
                writer.append([row.text for row in rows], vectors, metadata=numbers)
                advance(len(rows))
    return 0
