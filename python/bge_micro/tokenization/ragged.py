"""The batch that tokenization gives to the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class RaggedBatch(NamedTuple):
    """Token ids of n texts, or of n pairs of texts, one after the other, without padding.

    The tokens of text `i` are `ids[offsets[i] : offsets[i + 1]]`, special tokens included.

    Attributes:
        ids: int32, shape (total,).
        offsets: int64, shape (n + 1,), starting with 0 and ending with total.
        truncated: bool, shape (n,); True where a text had more tokens than the limit.
        types: int32, shape (total,): the token types of pairs; None if all are 0.
    """

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    truncated: npt.NDArray[np.bool_]
    types: npt.NDArray[np.int32] | None = None

    @property
    def texts(self) -> int:
        """The number of texts."""
        return len(self.offsets) - 1

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Tokens used of each text, special tokens included; int64, shape (n,)."""
        return np.diff(self.offsets)

    def first(self, tokens: int) -> RaggedBatch:
        """Return the first texts that have no more than `tokens` tokens together."""
        texts = int(np.searchsorted(self.offsets, tokens, side="right")) - 1
        offsets = self.offsets[: texts + 1]
        types = None if self.types is None else self.types[: offsets[-1]]
        return RaggedBatch(self.ids[: offsets[-1]], offsets, self.truncated[:texts], types)

    def with_rows(self, rows: Sequence[int], others: RaggedBatch) -> RaggedBatch:
        """Return the batch with the texts of `others` for some of its own, which have no tokens.

        Args:
            rows: Which of the texts those of `others` replace, ascending.
            others: As many texts.
        """
        places = np.asarray(rows, np.intp)
        counts, truncated = self.counts, self.truncated.copy()
        counts[places], truncated[places] = others.counts, others.truncated
        return RaggedBatch(
            np.insert(self.ids, np.repeat(self.offsets[places], others.counts), others.ids),
            np.concatenate([self.offsets[:1], np.cumsum(counts)]),
            truncated,
        )


def ragged_ids(
    rows: Sequence[npt.NDArray[np.integer[Any]]], limit: int, vocabulary: int
) -> RaggedBatch:
    """Join texts that are token ids already.

    Args:
        rows: n arrays of token ids, each (tokens,).
        limit: The most tokens of a text.
        vocabulary: What every id is below.

    Raises:
        TypeError: A row is not an array of whole numbers.
        ValueError: A row is empty or too long, or holds an id that the model does not have.
    """
    copies = [np.array(row) for row in rows]  # so that no thread changes them later
    for number, row in enumerate(copies):
        if row.ndim != 1 or row.dtype.kind not in "iu":
            raise TypeError(
                f"row {number} has shape {row.shape} and dtype {row.dtype}, expected token ids: "
                "whole numbers in one dimension"
            )
        if not 1 <= len(row) <= limit:
            raise ValueError(f"row {number} has {len(row)} token ids, expected 1 to {limit}")
    ids = np.concatenate(copies)
    # All at once, because of a short row either would take longer than everything else.
    if ids.min() < 0 or ids.max() >= vocabulary:
        bad = (row.min() < 0 or row.max() >= vocabulary for row in copies)
        number = list(bad).index(True)
        row = copies[number]
        raise ValueError(
            f"row {number} has token ids from {row.min()} to {row.max()}, expected 0 to "
            f"{vocabulary - 1}"
        )
    return RaggedBatch(
        ids=ids.astype(np.int32),
        offsets=np.cumsum([0, *map(len, copies)], dtype=np.int64),
        truncated=np.zeros(len(copies), np.bool_),
    )
