"""Vectors that the folder of an index holds already, by the text that they were made of."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from numpy.typing import NDArray

from bge_micro.search.saved import SavedIndex


def digest_of(text: str) -> bytes:
    """Return 128 bits that stand for a text."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class KnownVectors:
    """Finds a text's vector. The same text has the same vector, whichever index it is in."""

    def __init__(self) -> None:
        """Begin with none."""
        self._rows: dict[bytes, tuple[SavedIndex, int]] = {}

    def add(self, saved: SavedIndex, rows: Iterable[int]) -> None:
        """Add some rows of an index of the same space and prompt."""
        for row in rows:
            self._rows[digest_of(saved.texts[row])] = saved, row

    def find(self, text: str) -> NDArray[Any] | None:
        """Return a text's vector, or None."""
        found = self._rows.get(digest_of(text))
        return None if found is None else found[0].vectors[found[1]]
