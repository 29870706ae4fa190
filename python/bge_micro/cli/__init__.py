"""The command line, ``bge-micro``. Subcommands import heavy modules when they run, so help is fast.

Exit codes: 0 success; 1 failure; 2 wrong command line; 130 Ctrl-C; 141 the reader of our output has
closed it, as for programs that SIGPIPE ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence

from bge_micro import __version__
from bge_micro.cli.parser import Parser, UsageError

_FAILED = 1
_USAGE = 2
_INTERRUPTED = 130
_PIPE_CLOSED = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: The arguments; None for those of the process.

    Returns:
        The exit code.

    Raises:
        SystemExit: With code 0, after --help and --version.
    """
    _replace_closed_streams()
    _obey_sigterm()
    try:
        code = _run(argv)
        try:
            sys.stdout.flush()
        except OSError as error:
            # The interpreter flushes again when it exits, and would report the error a second time.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = code or _code_of(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _obey_sigterm() -> None:
    """End at SIGTERM also as a container's first process, where Linux ignores it by default."""
    if os.getpid() == 1 and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def build_parser() -> Parser:
    """Return the parser of the whole command line; its result's `run` runs the subcommand."""
    from bge_micro.cli import (
        bench,
        completion,
        convert,
        embed,
        export,
        index,
        info,
        rerank,
        search,
        serve,
        similarity,
    )

    parser = Parser(
        prog="bge-micro", description="Sentence embeddings by bge-micro-v2, on any CPU, offline."
    )
    parser.add_argument("-V", "--version", action="version", version=f"bge-micro {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (embed, similarity, index, search, rerank, serve, bench, info, convert, export):
        module.add_command(commands)
    completion.add_command(commands, parser)
    return parser


def _replace_closed_streams() -> None:
    """Open the standard streams that a process was started without.

    Writing to stdout fails then, and what goes to stderr is dropped.
    """
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:  # print() would take None for stdout
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - as long as the process


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = build_parser().parse_args(argv)
        code: int = arguments.run(arguments)
    except UsageError as error:
        _report(str(error))
        return _USAGE
    except (ImportError, OSError, ValueError) as error:
        return _code_of(error)
    return code


def _code_of(error: Exception) -> int:
    """Write an error to stderr, and return its exit code."""
    if isinstance(error, BrokenPipeError):
        return _PIPE_CLOSED
    if isinstance(error, OSError) and error.strerror:
        place = "" if error.filename is None else f"{error.filename}: "
        _report(f"{place}{error.strerror}")
    else:
        _report(str(error), _lines_of(error))
    return _FAILED


def _lines_of(error: Exception) -> int:
    """Return how many lines a message has: what was looked for, and what is there."""
    from bge_micro.checkpoint import MissingFileError

    return 2 if isinstance(error, MissingFileError) else 1


def _report(message: str, lines: int = 1) -> None:
    parts = message.split("\n", lines - 1)
    print("bge-micro: error:", "\n".join(" ".join(part.split()) for part in parts), file=sys.stderr)
