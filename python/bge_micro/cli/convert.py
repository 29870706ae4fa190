"""``bge-micro convert``: make a model folder in our own format."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bge_micro.cli.parser import COMPUTE_TYPES, UsageError

# As the library's, for the same reason as those in parser.py.
POOLINGS = ("mean", "cls", "max", "mean_sqrt_len_tokens")

_FOR_FOLDERS = ("compute_type",)
_FOR_EXPORTS = ("vocab", "pooling", "normalize", "official")
_SET_BY_OFFICIAL = ("pooling", "normalize", "repo_id", "revision")


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand's parser."""
    parser = commands.add_parser(
        "convert",
        help="convert a model into bge-micro's format",
        description="Make the model folder OUT from a model folder (with model.safetensors), or "
        "from a dynamically quantised ONNX export, which needs the extra bge-micro[convert].",
    )
    parser.add_argument("source", metavar="SOURCE", help="a model folder or an .onnx file")
    parser.add_argument("out", metavar="OUT", help="the folder to make")
    parser.add_argument("--repo-id", metavar="NAME", help="where SOURCE is from, for the record")
    parser.add_argument("--revision", metavar="NAME", help="its revision, for the record")
    folders = parser.add_argument_group("for model folders")
    folders.add_argument(
        "--compute-type", choices=COMPUTE_TYPES, help="form of the linear layers (default: int8)"
    )
    exports = parser.add_argument_group("for ONNX exports")
    exports.add_argument("--vocab", metavar="FILE", help="the model's vocab.txt; needed")
    exports.add_argument(
        "--pooling",
        choices=POOLINGS,
        help="how the model pools, of which an export does not speak (default: mean)",
    )
    exports.add_argument(
        "--normalize", action="store_true", help="the model brings vectors to unit length"
    )
    exports.add_argument(
        "--official",
        action="store_true",
        help="check that SOURCE is the export that bge-micro bundles, and make that folder",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    if Path(arguments.source).suffix.lower() == ".onnx":
        _convert_export(arguments)
    else:
        _convert_folder(arguments)
    print(f"{arguments.out}: written")
    return 0


def _convert_folder(arguments: argparse.Namespace) -> None:
    _refuse(arguments, _FOR_EXPORTS, "applies to ONNX exports, and SOURCE does not end in .onnx")
    from bge_micro.convert import convert_folder

    convert_folder(
        arguments.source,
        arguments.out,
        compute_type=arguments.compute_type or "int8",
        repo_id=arguments.repo_id,
        revision=arguments.revision,
    )


def _convert_export(arguments: argparse.Namespace) -> None:
    _refuse(arguments, _FOR_FOLDERS, "applies to folders; an export's integers stay as they are")
    if arguments.vocab is None:
        raise UsageError("an ONNX export holds no vocabulary: give --vocab FILE")
    if arguments.official:
        _refuse(arguments, _SET_BY_OFFICIAL, "is already said by --official")
    from bge_micro.convert import convert_onnx, make_bundle

    if arguments.official:
        make_bundle(arguments.source, arguments.vocab, arguments.out)
        return
    convert_onnx(
        arguments.source,
        arguments.vocab,
        arguments.out,
        repo_id=arguments.repo_id or "unknown",
        revision=arguments.revision or "unknown",
        pooling=arguments.pooling or "mean",
        normalize=arguments.normalize,
    )


def _refuse(arguments: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    """Raise a UsageError if an option was given that would not be obeyed."""
    for name in names:
        if getattr(arguments, name):
            raise UsageError(f"--{name.replace('_', '-')} {why}")
