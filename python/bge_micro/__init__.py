"""bge-micro-v2 sentence embeddings on any CPU: fast, offline, and the same bits everywhere.

>>> from bge_micro import SentenceTransformer
>>> SentenceTransformer().encode(["A sentence", "Another one"]).shape
(2, 384)
"""

from bge_micro.checkpoint import CheckpointError, MissingFileError
from bge_micro.encode import TokenUse
from bge_micro.model import SentenceTransformer

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "MissingFileError",
    "SentenceTransformer",
    "TokenUse",
    "__version__",
]
