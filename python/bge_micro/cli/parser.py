"""The argument parser's way to report errors, and the options that subcommands share."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from bge_micro.choices import COMPUTE_TYPES, ERRORS, TRUNCATIONS

INPUT_FORMATS = ("auto", "text", "jsonl", "csv", "tsv", "parquet")


class UsageError(Exception):
    """The command line is wrong; the message says why and what to do."""


class _StoreOnce(argparse.Action):
    """Store an option's value; an option that is given a second time is an error.

    The set `given` of the result holds the options that were given, by their long names.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store a value."""
        if self.option_strings:
            name = self.option_strings[-1]
            given: frozenset[str] = getattr(namespace, "given", frozenset())
            if name in given:
                raise argparse.ArgumentError(self, "is given twice, and takes one value")
            namespace.given = given | {name}
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """A parser that reports an error as one line with what may have been meant.

    It takes options by their full names only, and each that has a value once.
    """

    def __init__(self, **options: Any) -> None:
        """Take the keywords of argparse.ArgumentParser."""
        super().__init__(**options, allow_abbrev=False)
        self.register("action", None, _StoreOnce)
        self.register("action", "store", _StoreOnce)
        self.set_defaults(given=frozenset())

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse; an argument that is not known is an error of the subcommand that it was given."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            names = [word.partition("=")[0] for word in unknown if word.startswith("-")]
            meant = _meant(names, self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            error.message += _meant([str(value)], map(str, action.choices or ()))
            raise

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help")


def _meant(words: Iterable[str], known: Iterable[str]) -> str:
    """Return a question for what is closest to wrong words; nothing if nothing is close."""
    known = list(known)
    close = [match for word in words for match in get_close_matches(word, known, 1)]
    return f"; did you mean {' '.join(close)}?" if close else ""


def add_model_options(parser: argparse.ArgumentParser, *, prompts: bool = True) -> None:
    """Add the options that say which model runs, and how.

    Args:
        parser: Where to add them.
        prompts: Whether --prompt and --prompt-name, of one prompt for all texts, are among them.
    """
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
    if prompts:
        add_prompt_options(group, "", "each text")


def add_prompt_options(group: argparse._ArgumentGroup, kind: str, texts: str) -> None:
    """Add the options --KINDprompt and --KINDprompt-name.

    Args:
        group: Where to add them.
        kind: "", or the kind of texts with a hyphen behind it.
        texts: What help calls the texts that get the prompt.
    """
    either = group.add_mutually_exclusive_group()
    either.add_argument(f"--{kind}prompt", metavar="TEXT", help=f"put TEXT before {texts}")
    either.add_argument(
        f"--{kind}prompt-name",
        metavar="NAME",
        help=f"put the model's prompt of this name before {texts}",
    )


def add_text_options(
    parser: argparse.ArgumentParser, texts: str = "TEXT", *, skip_blank: bool = False
) -> None:
    """Add the options that say which texts are read, and what happens to bad ones.

    Args:
        parser: Where to add them.
        texts: What help calls the arguments.
        skip_blank: Whether texts of white space only are left out by default.
    """
    parser.add_argument(
        "texts",
        nargs="*",
        metavar=texts,
        help="a text; a single - reads standard input; after -- a text may begin with -",
    )
    group = parser.add_argument_group("input")
    group.add_argument(
        "-i", "--input", metavar="FILE", help="read texts from FILE; - is standard input"
    )
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
        "--skip-blank",
        action=argparse.BooleanOptionalAction,
        default=skip_blank,
        help="leave out texts that are empty or white space only; the others keep the numbers of "
        f"their rows (default: {'yes' if skip_blank else 'no'})",
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
