"""sqlite-vec: vectors in a table of SQLite, beside the texts.

Move on to it when rows are to be changed and joined by SQL in one file; its exact search takes a
few times as long as `bge_micro.search.Index`.
"""

from __future__ import annotations

import sqlite3

import sqlite_vec
from corpus import QUERY, TEXTS

from bge_micro import SentenceTransformer

if not hasattr(sqlite3.Connection, "enable_load_extension"):
    # Some builds of Python lack it; pip install pysqlite3-binary adds it.
    import pysqlite3 as sqlite3


def main() -> list[int]:
    """Return the rows found, best first."""
    model = SentenceTransformer()
    database = sqlite3.connect(":memory:")
    database.enable_load_extension(True)
    sqlite_vec.load(database)
    database.enable_load_extension(False)
    database.execute(
        "create virtual table items using vec0("
        "row integer primary key, vector float[384] distance_metric=cosine, +text text)"
    )
    # sqlite-vec stores a vector's bytes.
    rows = zip(range(len(TEXTS)), map(bytes, model.encode(TEXTS)), TEXTS, strict=True)
    database.executemany("insert into items(row, vector, text) values (?, ?, ?)", rows)
    found = database.execute(
        "select row, distance, text from items where vector match ? and k = 3 order by distance",
        [bytes(model.encode(QUERY))],
    ).fetchall()
    database.close()
    for _, distance, text in found:
        print(f"{1 - distance:.4f}  {text}")
    return [row for row, _, _ in found]


if __name__ == "__main__":
    main()
