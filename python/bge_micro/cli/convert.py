"""``bge-micro convert``: make a model folder in our own format."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bge_micro.choices import COMPUTE_TYPES, POOLINGS
from bge_micro.cli.own_input import refuse_own_input
from bge_micro.cli.parser import UsageError
from bge_micro.cli.texts import read_calibration_texts

_FOR_EXPORTS = ("vocab", "offsets", "official")
_FOR_FILES = ("pooling", "normalize", "max_seq_length")
_SET_BY_OFFICIAL = (*_FOR_FILES, "repo_id", "revision", "compute_type", "calibrate")


def add_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand's parser."""
    parser = commands.add_parser(
        "convert",
        help="convert a model into bge-micro's format",
        description="Make the model folder OUT from a model folder (with model.safetensors), from "
        "an ONNX export in floats or dynamically quantised, which needs the extra "
        "bge-micro[convert], or from a GGUF file, which needs bge-micro[gguf].",
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="a model folder, a name on the hub, .onnx or .gguf file"
    )
    parser.add_argument("out", metavar="OUT", help="the folder to make")
    parser.add_argument("--repo-id", metavar="NAME", help="where SOURCE is from, for the record")
    parser.add_argument(
        "--revision",
        metavar="NAME",
        help="its revision, for the record; of a name on the hub, the one to take",
    )
    parser.add_argument(
        "--compute-type",
        choices=COMPUTE_TYPES,
        help="form of the linear layers; those of a quantised export stay as they are "
        "(default: int8)",
    )
    parser.add_argument(
        "--calibrate",
        metavar="FILE",
        help="texts like those the model is for, one a line (or JSONL, as for embed), some "
        "hundreds: makes a better int8 of a float model, in minutes instead of seconds",
    )
    files = parser.add_argument_group("for ONNX exports and GGUF files")
    files.add_argument(
        "--pooling",
        choices=POOLINGS,
        help="how the model pools (default: what the file says or computes, else mean)",
    )
    files.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        help="whether the model brings vectors to unit length, that is, has a Normalize module "
        "(default for ONNX: what the file computes, else no; for GGUF it must be given)",
    )
    files.add_argument(
        "--max-seq-length",
        type=int,
        metavar="N",
        help="tokens of a text that are used (default: as many as the model has positions)",
    )
    exports = parser.add_argument_group("for ONNX exports")
    exports.add_argument(
        "--vocab", metavar="FILE", help="the model's vocab.txt or tokenizer.json; needed"
    )
    exports.add_argument(
        "--offsets",
        metavar="FILE",
        help="a .safetensors file that gives the position of each original weight within its cell "
        "of the 8-bit export: makes a better model than the export's",
    )
    exports.add_argument(
        "--official",
        action="store_true",
        help="check that SOURCE is the official export of bge-micro-v2, and convert it bit by bit",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    refuse_own_input(arguments, arguments.out)
    convert = {".onnx": _convert_export, ".gguf": _convert_gguf}
    convert.get(Path(arguments.source).suffix.lower(), _convert_folder)(arguments)
    print(f"{arguments.out}: written")
    return 0


def _convert_folder(arguments: argparse.Namespace) -> None:
    why = "applies to ONNX exports, and SOURCE does not end in .onnx"
    _refuse(arguments, _FOR_EXPORTS, why)
    _refuse(arguments, _FOR_FILES, "is said by a model folder itself")
    from bge_micro.checkpoint import locate_model
    from bge_micro.convert import convert_folder

    options = _common(arguments)
    if not Path(arguments.source).is_dir():  # a name on the hub
        folder = locate_model(arguments.source, revision=arguments.revision).folder
        options["repo_id"] = options["repo_id"] or arguments.source
    else:
        folder = Path(arguments.source)
    convert_folder(folder, arguments.out, **options)


def _convert_gguf(arguments: argparse.Namespace) -> None:
    _refuse(arguments, _FOR_EXPORTS, "applies to ONNX exports, and SOURCE does not end in .onnx")
    if arguments.normalize is None:
        raise UsageError(
            "a GGUF file does not say whether the model normalises its vectors: give --normalize "
            "(if its folder has a Normalize module) or --no-normalize"
        )
    from bge_micro.convert import convert_gguf

    convert_gguf(
        arguments.source,
        arguments.out,
        pooling=arguments.pooling,
        normalize=arguments.normalize,
        max_seq_length=arguments.max_seq_length,
        **_common(arguments),
    )


def _convert_export(arguments: argparse.Namespace) -> None:
    if arguments.vocab is None:
        raise UsageError("an ONNX export holds no vocabulary: give --vocab FILE")
    if arguments.official:
        _refuse(arguments, _SET_BY_OFFICIAL, "is already said by --official")
        _refuse(arguments, ("offsets",), "makes another model than --official does")
    from bge_micro.convert import convert_official, convert_onnx

    if arguments.official:
        convert_official(arguments.source, arguments.vocab, arguments.out)
        return
    common = _common(arguments)
    for name in ("repo_id", "revision"):
        common[name] = common[name] or "unknown"
    convert_onnx(
        arguments.source,
        arguments.vocab,
        arguments.out,
        pooling=arguments.pooling,
        normalize=arguments.normalize,
        max_seq_length=arguments.max_seq_length,
        offsets_path=arguments.offsets,
        **common,
    )


def _common(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that every kind of source takes."""
    return {
        "repo_id": arguments.repo_id,
        "revision": arguments.revision,
        "compute_type": arguments.compute_type or "int8",
        "calibration_texts": _read_texts(arguments.calibrate),
    }


def _read_texts(path: str | None) -> list[str] | None:
    """Read calibration texts: a text a line, or the field "text" of JSON lines."""
    if path is None:
        return None
    return read_calibration_texts(path)


def _refuse(arguments: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    """Raise a UsageError if an option was given that would not be obeyed."""
    for name in names:
        if getattr(arguments, name) not in (None, False):
            raise UsageError(f"--{name.replace('_', '-')} {why}")
