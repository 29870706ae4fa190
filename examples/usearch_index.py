"""usearch: an approximate index over int8 vectors, a quarter of the memory of float32.

Move on to it from a million rows on, where an exact search takes a tenth of a second or more and
a few missed neighbours are no harm.
"""

from __future__ import annotations

import numpy as np
from corpus import QUERY, TEXTS
from usearch.index import Index

from bge_micro import SentenceTransformer


def main() -> list[int]:
    """Return the rows found, best first."""
    model = SentenceTransformer()
    # Each vector is quantised alone, so a vector that is added later needs no calibration.
    vectors = model.encode(TEXTS, precision="int8")
    index = Index(ndim=vectors.shape[1], metric="cos", dtype="i8")
    index.add(np.arange(len(TEXTS)), vectors)
    matches = index.search(model.encode(QUERY, precision="int8"), 3)
    for key, distance in zip(matches.keys, matches.distances, strict=True):
        print(f"{1 - distance:.4f}  {TEXTS[key]}")
    return [int(key) for key in matches.keys]


if __name__ == "__main__":
    main()
