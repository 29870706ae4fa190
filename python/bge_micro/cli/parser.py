"""The argument parser's way to report errors, and the options that subcommands share."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from bge_micro.choices import COMPUTE_TYPES, ERRORS, TRUNCATIONS

INPUT_FORMATS = ("auto", "text", "jsonl", "csv", "tsv", "parquet")


class UsageError(Exception):
    """The command line is wrong; the message says why and what to do."""


class Parser(argparse.ArgumentParser):
    """A parser that reports an error as one line, and takes options by their full names only."""

    def __init__(self, **options: Any) -> None:
        """Take the keywords of argparse.ArgumentParser."""
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which model runs, and how."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        metavar="NAME",
        help="a model folder, or the name of one on the hub, from the local cache or else fetched "
        "(default: bge-micro-v2, which is part of this program)",
    )
    group.add_argument(
        "--compute-type",
        choices=COMPUTE_TYPES,
        default="int8",
        help="arithmetic of the linear layers (default: int8)",
    )
    group.add_argument(
        "--threads", type=positive, metavar="N", help="the most threads (default: see info)"
    )
    prompts = group.add_mutually_exclusive_group()
    prompts.add_argument("--prompt", metavar="TEXT", help="put TEXT before each text")
    prompts.add_argument(
        "--prompt-name", metavar="NAME", help="put the model's prompt of this name before each text"
    )


def add_text_options(parser: argparse.ArgumentParser, texts: str = "TEXT") -> None:
    """Add the options that say which texts are read, and what happens to bad ones.

    Args:
        parser: Where to add them.
        texts: What help calls the arguments.
    """
    parser.add_argument(
        "texts",
        nargs="*",
        metavar=texts,
        help="a text; a single - reads standard input; after -- a text may begin with -",
    )
    group = parser.add_argument_group("input")
    group.add_argument("-i", "--input", metavar="FILE", help="read texts from FILE")
    group.add_argument(
        "--input-format",
        choices=INPUT_FORMATS,
        default="auto",
        help="text: a text a line; jsonl: a JSON string or object a line; csv, tsv: with a header; "
        "parquet (default: auto, by the ending of FILE, and text for any other)",
    )
    group.add_argument(
        "--field",
        metavar="NAME",
        help="the key or column that holds the texts, of jsonl, csv, tsv and parquet (default: "
        "text)",
    )
    group.add_argument(
        "--errors",
        choices=ERRORS,
        default="strict",
        help="bad rows, which are no UTF-8 or hold no text: strict stops, replace takes U+FFFD for "
        "bad bytes and the empty text for a missing one, skip leaves them out (default: strict)",
    )
    group.add_argument(
        "--truncation",
        choices=TRUNCATIONS,
        default="warn",
        help="texts with more tokens than the model takes: use the beginning and be silent or "
        "warn, or stop with an error (default: warn)",
    )
    group.add_argument(
        "--batch-size",
        type=positive,
        default=1024,
        metavar="N",
        help="texts that are read, encoded and written together (default: 1024)",
    )


def positive(text: str) -> int:
    """Parse an argument as a positive integer."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)
