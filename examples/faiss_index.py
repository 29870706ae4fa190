"""faiss: by inner product of unit vectors, and by Hamming distance over bits.

Move on to it for its compressed or partitioned indexes, or GPUs; its exact index takes as long as
`bge_micro.search.Index`.
"""

from __future__ import annotations

import faiss
from corpus import QUERY, TEXTS

from bge_micro import SentenceTransformer


def main() -> list[int]:
    """Return the rows found by inner product, best first."""
    model = SentenceTransformer()
    vectors = model.encode(TEXTS, normalize_embeddings=True)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    query = model.encode([QUERY], normalize_embeddings=True)
    scores, rows = index.search(query, 3)
    for score, row in zip(scores[0], rows[0], strict=True):
        print(f"{score:.4f}  {TEXTS[row]}")

    bits = model.encode(TEXTS, precision="ubinary")
    binary = faiss.IndexBinaryFlat(8 * bits.shape[1])
    binary.add(bits)
    distances, nearest = binary.search(model.encode([QUERY], precision="ubinary"), 1)
    print(f"{distances[0, 0]} of {8 * bits.shape[1]} bits differ: {TEXTS[nearest[0, 0]]}")
    return [int(row) for row in rows[0]]


if __name__ == "__main__":
    main()
