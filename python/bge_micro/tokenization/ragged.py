"""The batch that tokenization hands to the core."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class RaggedBatch(NamedTuple):
    """Token ids of n texts, one after the other, without padding.

    The tokens of text `i` are `ids[offsets[i] : offsets[i + 1]]`, special tokens included.

    Attributes:
        ids: int32, shape (total,).
        offsets: int64, shape (n + 1,), starting with 0 and ending with total.
        truncated: bool, shape (n,); True where a text had more tokens than the limit.
    """

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    truncated: npt.NDArray[np.bool_]

    @property
    def texts(self) -> int:
        """How many texts there are."""
        return len(self.offsets) - 1

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Tokens used of each text, special tokens included; int64, shape (n,)."""
        return np.diff(self.offsets)

    def first(self, tokens: int) -> RaggedBatch:
        """Return the first texts that have no more than `tokens` tokens together."""
        texts = int(np.searchsorted(self.offsets, tokens, side="right")) - 1
        offsets = self.offsets[: texts + 1]
        return RaggedBatch(self.ids[: offsets[-1]], offsets, self.truncated[:texts])
