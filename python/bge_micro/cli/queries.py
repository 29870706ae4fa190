"""The queries of ``bge-micro search`` and ``rerank``."""

from __future__ import annotations

import argparse
import sys

from bge_micro.cli.parser import UsageError


def read_queries(arguments: argparse.Namespace) -> list[str]:
    """Return the arguments, or for - the lines of standard input that are not blank."""
    queries: list[str] = arguments.texts
    if queries == ["-"]:
        lines = sys.stdin.buffer.read().decode("utf-8").splitlines()
        queries = [line for line in lines if line.strip()]
    elif not queries:
        raise UsageError("no query: give QUERY arguments, or - for lines of standard input")
    return queries
