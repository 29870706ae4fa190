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

# Options and arguments that name a file to read, or a folder of a model or of notes.
_READ = ("input", "source", "vocab", "offsets", "calibrate")

# Names that files of a model folder have.
_MODEL_FILES = ("model*.safetensors", "*.json", "*/*.json", "vocab.txt")


def refuse_own_input(arguments: argparse.Namespace, output: str | None) -> None:
    """Refuse to replace a file that the command reads.

    Args:
        arguments: Of any command.
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
        files = _files(iter([Path(output), *_unfinished(output)]))
    for name, found in files:
        yield (found.st_dev, found.st_ino), name


def _unfinished(output: str) -> list[Path]:
    """Return what an interrupted run has left of a file, which another run replaces."""
    from bge_micro.atomic import find_own, target_of

    with suppress(OSError, ValueError):  # the folder does not exist, or cannot be written
        target = target_of(output)
        return [*find_own(target, "unfinished"), *find_own(target, "journal")]
    return []


def _inputs(arguments: argparse.Namespace) -> Iterator[tuple[str, os.stat_result]]:
    given = vars(arguments)
    if given.get("input") == "-" or given.get("texts") == ["-"]:
        yield from _stream("standard input", sys.stdin)
    named = [Path(given[name]) for name in _READ if given.get(name) not in (None, "-")]
    yield from _files(iter(named))
    models = [Path(given[name]) for name in ("model", "source") if given.get(name) is not None]
    for folder in models:
        for pattern in _MODEL_FILES:
            yield from _files(folder.glob(pattern))


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
