"""txtai: ``Embeddings(method="external", transform=BgeMicroTransform)``.

txtai calls the given object once, without arguments, and then calls the result with texts. So it
takes the class, a ``functools.partial`` of it with settings, or its dotted name as a string (which
txtai resolves if the environment variable ALLOW_RESOLVE_TRANSFORM is "1", and can save).

txtai divides every vector by its length again, with NumPy, which may change the last bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from bge_micro.integrations.held import COSINE_PRECISIONS, HoldsModel


class BgeMicroTransform(HoldsModel):
    """An external transform: texts in, float32 (n, dimensions) out."""

    precisions = COSINE_PRECISIONS

    def __call__(self, texts: Sequence[str]) -> NDArray[Any]:
        """Embed n texts."""
        return self._held.documents(texts)
