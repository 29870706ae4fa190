"""Vectors in Parquet: columns for index, text (if wanted), what is carried along, and embedding."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from bge_micro.arrow import import_pyarrow, to_arrow
from bge_micro.json_text import json_line
from bge_micro.tokenization import replace_surrogates
from bge_micro.vector_files.formats import Block, Layout, VectorFormat
from bge_micro.vector_files.kept import ColumnKind, jsonable, text_of

# Rows of a row group, which readers read at once: 25 MB of the model's float32 vectors.
_GROUP_ROWS = 1 << 14


class Parquet(VectorFormat):
    """A Parquet file; the schema's metadata has the space id as "space_id".

    Its writer keeps the index of all pages in memory until the end, so the partial file is a
    sequence of Arrow record batches. Values that are carried along without a known type are JSON
    there, in the column "kept"; their types are decided at the end, when all values were seen.
    """

    assembled = True
    own_names = ("index", "text", "embedding")

    def __init__(self, layout: Layout) -> None:
        """Take what the vectors are; ImportError without pyarrow."""
        super().__init__(layout)
        arrow = import_pyarrow()
        self._typed = {name: _plain(arrow, kind) for name, kind in layout.kept_types.items()}
        self._untyped = layout.keep and not self._typed
        self._kinds: dict[str, ColumnKind] = {}
        kept = {"kept": arrow.string()} if self._untyped else self._typed
        self._partial = self._schema(kept)

    def _schema(self, kept: dict[str, Any]) -> Any:
        arrow, layout = import_pyarrow(), self.layout
        value = arrow.from_numpy_dtype(layout.dtype)
        fields = [arrow.field("index", arrow.int64(), nullable=False)]
        fields += [arrow.field(name, kind) for name, kind in kept.items()]
        if layout.with_text:
            fields.append(arrow.field("text", arrow.string(), nullable=False))
        fields.append(arrow.field("embedding", arrow.list_(value, layout.columns), nullable=False))
        return arrow.schema(fields, metadata={"space_id": layout.space_id})

    def remember(self, block: Block) -> None:
        """Note numbers, and the kinds of values whose types are not known."""
        super().remember(block)
        if self._untyped:
            for row in block.kept:
                for name, value in row.items():
                    self._kinds.setdefault(name, ColumnKind()).see(jsonable(value))

    def append(self, file: IO[bytes], block: Block) -> None:
        """Write the rows as one record batch."""
        arrow = import_pyarrow()
        columns = [arrow.array(np.asarray(block.indices, np.int64))]
        if self._untyped:
            kept = [replace_surrogates(json_line(jsonable(row))) for row in block.kept]
            columns.append(arrow.array(kept, arrow.string()))
        for name, kind in self._typed.items():
            columns.append(arrow.array([row[name] for row in block.kept], kind))
        if self.layout.with_text:
            columns.append(arrow.array(map(replace_surrogates, block.texts), arrow.string()))
        columns.append(to_arrow(block.vectors))
        file.write(arrow.record_batch(columns, schema=self._partial).serialize())

    def assemble(self, partial: IO[bytes], file: IO[bytes]) -> None:
        """Write the batches in row groups of equal size, whatever the blocks were."""
        arrow = import_pyarrow()
        from pyarrow import parquet

        types = {float: arrow.float64(), int: arrow.int64(), bool: arrow.bool_()}
        decided = {
            name: types.get(kind.dtype(), arrow.string()) for name, kind in self._kinds.items()
        }
        schema = self._schema(decided) if self._untyped else self._partial
        # Vectors do not compress, and almost no two are equal.
        compression = {name: "zstd" for name in schema.names if name != "embedding"}
        options = {"compression": compression, "use_dictionary": False}
        with parquet.ParquetWriter(file, schema, **options) as writer:
            for table in self._groups(partial):
                whole = _with_columns(table, schema, decided) if self._untyped else table
                writer.write_table(whole, row_group_size=_GROUP_ROWS)

    def _groups(self, partial: IO[bytes]) -> Iterator[Any]:
        arrow = import_pyarrow()
        waiting: list[Any] = []
        rows = 0
        while (message := _next_message(partial)) is not None:
            waiting.append(arrow.ipc.read_record_batch(message, self._partial))
            rows += waiting[-1].num_rows
            while rows >= _GROUP_ROWS:
                table = arrow.Table.from_batches(waiting, self._partial)
                yield table.slice(0, _GROUP_ROWS)
                waiting = table.slice(_GROUP_ROWS).to_batches()
                rows -= _GROUP_ROWS
        if rows:
            yield arrow.Table.from_batches(waiting, self._partial)


def _plain(arrow: Any, kind: Any) -> Any:
    """Return the type of a column's values, which a dictionary of them hides."""
    return kind.value_type if arrow.types.is_dictionary(kind) else kind


def _with_columns(table: Any, schema: Any, kinds: dict[str, Any]) -> Any:
    """Return a table with columns of these types instead of one with JSON."""
    arrow = import_pyarrow()
    rows = [json.loads(line) for line in table["kept"].to_pylist()]
    arrays = {name: table[name] for name in table.column_names if name != "kept"}
    for name, kind in kinds.items():
        values = [row.get(name) for row in rows]
        if kind == arrow.string():
            values = [None if value is None else text_of(value) for value in values]
        arrays[name] = arrow.array(values, kind)
    return arrow.table([arrays[name] for name in schema.names], schema=schema)


def _next_message(file: IO[bytes]) -> Any:
    """Read the next message; None at the end of the file."""
    try:
        return import_pyarrow().ipc.read_message(file)
    except EOFError:
        return None
