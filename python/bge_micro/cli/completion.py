"""``bge-micro completion``: a script with which a shell completes our command lines."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

# As shtab's, which is imported only to make the script; a test compares them.
SHELLS = ("bash", "zsh", "tcsh")

# Arguments that are files or folders, by what help calls them.
_PATHS = {"FILE": "FILE", "OUT": "FILE", "SOURCE": "FILE", "FOLDER": "DIRECTORY"}


def add_command(commands: argparse._SubParsersAction[Any], whole: argparse.ArgumentParser) -> None:
    """Add the subcommand's parser; the script completes the command lines of `whole`."""
    parser = commands.add_parser(
        "completion",
        help="print a script for a shell's completion",
        description="Print a script with which the shell completes this program's command lines. "
        "Needs the extra bge-micro[completion]. For bash: bge-micro completion bash > "
        "~/.local/share/bash-completion/completions/bge-micro",
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    parser.set_defaults(run=run, whole=whole)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    try:
        import shtab
    except ImportError as error:
        raise ImportError(
            "completion needs shtab: pip install 'bge-micro[completion]'", name=error.name
        ) from error
    for action in _actions(arguments.whole):
        if action.metavar in _PATHS:
            action.complete = getattr(shtab, _PATHS[action.metavar])  # type: ignore[attr-defined]
    print(shtab.complete(arguments.whole, arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
