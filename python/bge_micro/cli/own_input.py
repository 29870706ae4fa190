"""Refuse an output that is one of the command's own inputs, under any name or link."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bge_micro.cli.parser import UsageError

# Names that files of a model folder have.
_MODEL_FILES = ("model*.safetensors", "*.json", "*/*.json", "vocab.txt")


def refuse_own_input(arguments: argparse.Namespace, output: str | None) -> None:
    """Refuse to replace a file that the command reads.

    Args:
        arguments: As made by the options of `parser.add_text_options` and `add_model_options`.
        output: The file or folder to be written; None for standard output.

    Raises:
        UsageError: The output, or a file in it, is an input: the same file on the disk.
    """
    written = dict(_written(output))
    for name, found in _inputs(arguments):
        same = written.get((found.st_dev, found.st_ino))
        if same is not None:
            raise UsageError(f"{same} and {name} are the same file; write to another one")


def _written(output: str | None) -> Iterator[tuple[tuple[int, int], str]]:
    if output is None:
        files = _stream("standard output", sys.stdout)
    elif os.path.isdir(output):
        # What else is a folder is refused later on.
        is_index = os.path.exists(os.path.join(output, "index.json"))
        files = _files(Path(output).rglob("*") if is_index else iter(()))
    else:
        files = _files(iter([Path(output)]))
    for name, found in files:
        yield (found.st_dev, found.st_ino), name


def _inputs(arguments: argparse.Namespace) -> Iterator[tuple[str, os.stat_result]]:
    if arguments.input == "-" or arguments.texts == ["-"]:
        yield from _stream("standard input", sys.stdin)
    elif arguments.input is not None:
        yield from _files(iter([Path(arguments.input)]))
    if arguments.model is not None:
        for pattern in _MODEL_FILES:
            yield from _files(Path(arguments.model).glob(pattern))


def _files(paths: Iterator[Path]) -> Iterator[tuple[str, os.stat_result]]:
    for path in paths:
        with suppress(OSError):  # it does not exist, or cannot be read either
            found = path.stat()
            if stat.S_ISREG(found.st_mode):
                yield str(path), found


def _stream(name: str, stream: Any) -> Iterator[tuple[str, os.stat_result]]:
    with suppress(AttributeError, OSError, ValueError):  # closed, or no file of the system
        found = os.fstat(stream.fileno())
        if stat.S_ISREG(found.st_mode):
            yield name, found
