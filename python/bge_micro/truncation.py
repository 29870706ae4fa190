"""Texts with more tokens than are used: an error or a warning that names their rows."""

from __future__ import annotations

import sys
import warnings

import numpy as np

from bge_micro.choices import Truncation
from bge_micro.tokenization import RaggedBatch

# Rows named in a message.
_NAMED_ROWS = 10


class TruncatedRows:
    """Collects the rows that are truncated, then warns or raises, as the setting says."""

    def __init__(self, truncation: Truncation, limit: int) -> None:
        """Begin with none."""
        self._is_error = truncation == "error"
        self._limit = limit
        self._rows: list[int] = []

    def note(self, batch: RaggedBatch, first: int) -> None:
        """Note a batch whose first text has the row `first`.

        Raises:
            ValueError: A text is truncated, and that is an error.
        """
        self._rows += (first + np.flatnonzero(batch.truncated)).tolist()
        if self._rows and self._is_error:
            raise ValueError(self._message())

    def warn(self) -> None:
        """Warn about the collected rows, at the line outside this package that called encode."""
        if not self._rows:
            return
        package = __name__.partition(".")[0]
        level, frame = 1, sys._getframe()
        while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
            level, frame = level + 1, frame.f_back
        warnings.warn(self._message(), stacklevel=level)

    def _message(self) -> str:
        rows = self._rows
        named = ", ".join(map(str, rows[:_NAMED_ROWS]))
        more = ", ..." if len(rows) > _NAMED_ROWS else ""
        return (
            f"{len(rows)} texts have more than {self._limit} tokens and would be used up to there "
            f"only (rows {named}{more}). Split them, raise max_seq_length if the model allows it, "
            "or set truncation='silent'."
        )
