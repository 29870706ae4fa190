"""The error for a framework that is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needed(package: str, extra: str) -> Iterator[None]:
    """Import a framework inside the with block, or raise an error that says what to install.

    Args:
        package: The framework's name on PyPI.
        extra: The extra of bge-micro that installs it.

    Raises:
        ImportError: The framework, or something that it needs, cannot be imported.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"this integration needs {package}: pip install 'bge-micro[{extra}]' ({error})",
            name=error.name,
        ) from error
