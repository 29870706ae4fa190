"""bge-micro-v2 sentence embeddings on any CPU: fast, offline, and the same bits everywhere.

>>> from bge_micro import SentenceTransformer
>>> SentenceTransformer().encode(["A sentence", "Another one"]).shape
(2, 384)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bge_micro.checkpoint import CheckpointError as CheckpointError
    from bge_micro.checkpoint import MissingFileError as MissingFileError
    from bge_micro.cross_encoder import CrossEncoder as CrossEncoder
    from bge_micro.encoded import Encoded as Encoded
    from bge_micro.model import SentenceTransformer as SentenceTransformer
    from bge_micro.pipeline import MemoryUsage as MemoryUsage
    from bge_micro.plan import Plan as Plan
    from bge_micro.tokens import TokenUse as TokenUse

__version__ = "0.1.0"

# Public name -> the module that has it, imported on first use: the command line's --help should
# not wait for NumPy. On the way to a first vector, records are NamedTuples, because defining a
# frozen dataclass takes 0.6 ms, ten times as long; and what only some models need is imported when
# they do.
_HOMES = {
    "CheckpointError": "checkpoint",
    "CrossEncoder": "cross_encoder",
    "Encoded": "encoded",
    "MemoryUsage": "pipeline",
    "MissingFileError": "checkpoint",
    "Plan": "plan",
    "SentenceTransformer": "model",
    "TokenUse": "tokens",
}

__all__ = [
    "CheckpointError",
    "CrossEncoder",
    "Encoded",
    "MemoryUsage",
    "MissingFileError",
    "Plan",
    "SentenceTransformer",
    "TokenUse",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
