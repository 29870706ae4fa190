"""What the command line says on stderr beside its errors."""

from __future__ import annotations

import sys


def warn(message: str) -> None:
    """Write a message to stderr."""
    print(f"bge-micro: warning: {message.encode(errors='replace').decode()}", file=sys.stderr)
