"""DuckDB: an Arrow table with vectors as fixed-size lists, searched by SQL.

Move on to it when vectors are columns of tables that you analyse by SQL; its exact search takes a
few times as long as `bge_micro.search.Index`.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa
from corpus import QUERY, TEXTS

from bge_micro import SentenceTransformer
from bge_micro.arrow import to_arrow


def main() -> list[int]:
    """Return the rows found, best first."""
    model = SentenceTransformer()
    texts = pa.array(TEXTS)
    items = pa.table(
        {"row": range(len(texts)), "text": texts, "vector": to_arrow(model.encode(texts))}
    )
    with duckdb.connect() as database:
        database.register("items", items)
        found = database.execute(
            "select row, array_cosine_similarity(vector, ?::float[384]) as score, text "
            "from items order by score desc, row limit 3",
            [model.encode(QUERY).tolist()],
        ).fetchall()
    for _, score, text in found:
        print(f"{score:.4f}  {text}")
    return [row for row, _, _ in found]


if __name__ == "__main__":
    main()
