"""The plan of an encoding: one value with everything that options decide about the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from bge_micro.choices import Precision, Truncation

DTYPES: dict[Precision, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "int8": np.dtype(np.int8),
    "uint8": np.dtype(np.uint8),
    "binary": np.dtype(np.int8),
    "ubinary": np.dtype(np.uint8),
}


class Plan(NamedTuple):
    """How texts become vectors. `SentenceTransformer.plan` makes it from options and checks them.

    Texts with equal plans can go through the core together. A vector is normalised if
    `normalize_whole`, then cut to `dimensions`, then normalised if `normalize`, then quantised.

    Attributes:
        prompt: Text put before each text.
        limit: Tokens of a text that are used, special tokens included.
        skip: The number of each text's first tokens that are not pooled: a prompt's, if the model
            leaves them out of the mean, with the special tokens before it; else 0.
        dimensions: Length of the vectors.
        normalize: Whether vectors get unit length after they are cut.
        normalize_whole: Whether the model gives them unit length before they are cut. Never
            together with `normalize`, which would undo it.
        precision: "float32", "int8", "uint8", "binary" or "ubinary".
        truncation: What happens to texts of more tokens than `limit`: "silent", "warn", "error".
        threads: The most threads to use.
    """

    prompt: str
    limit: int
    skip: int
    dimensions: int
    normalize: bool
    normalize_whole: bool
    precision: Precision
    truncation: Truncation
    threads: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of a vector."""
        return DTYPES[self.precision]

    @property
    def columns(self) -> int:
        """Elements of a vector: its dimensions, or bytes of eight signs."""
        if self.precision in ("binary", "ubinary"):
            return (self.dimensions + 7) // 8
        return self.dimensions
