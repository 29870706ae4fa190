"""The packages of the extra ``bge-micro[notes]``, imported when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_extra(name: str, use: str) -> Any:
    """Import a package; an ImportError says how to get it.

    Args:
        name: Of the package.
        use: What it is needed for.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{use} needs a package ({name}): pip install 'bge-micro[notes]'", name=error.name
        ) from error
