"""``bge-micro export``: write a model for other programs."""

from __future__ import annotations

import argparse
from typing import Any

from bge_micro.cli.own_input import refuse_own_input
from bge_micro.cli.parser import UsageError

FORMATS = ("folder", "onnx")


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand's parser."""
    parser = commands.add_parser(
        "export",
        help="write a model for other programs",
        description="Write a model in floats to OUT: a folder that sentence-transformers and "
        "transformers load, or an ONNX file, which needs the extra bge-micro[convert].",
    )
    parser.add_argument("out", metavar="OUT", help="the folder or .onnx file to make")
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="a model folder or name (default: bge-micro-v2, which is part of this program)",
    )
    parser.add_argument(
        "--format", choices=FORMATS, help="(default: onnx if OUT ends in .onnx, else folder)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    is_onnx = arguments.out.lower().endswith(".onnx")
    form = arguments.format or ("onnx" if is_onnx else "folder")
    if form == "folder" and is_onnx:
        raise UsageError("OUT ends in .onnx, which --format folder is not")
    refuse_own_input(arguments, arguments.out)
    from bge_micro.checkpoint import BUNDLED_NAME, locate_model
    from bge_micro.convert import export_onnx, save_folder
    from bge_micro.convert.onnx_folder import load_model_folder

    checkpoint = load_model_folder(locate_model(arguments.model or BUNDLED_NAME).folder)
    write = export_onnx if form == "onnx" else save_folder
    write(checkpoint, arguments.out)
    print(f"{arguments.out}: written")
    return 0
