"""Vectors in Parquet: the columns index, text (if wanted) and embedding, a list of fixed size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from bge_micro.arrow import import_pyarrow, to_arrow
from bge_micro.tokenization.cutting import replace_surrogates
from bge_micro.vector_files.formats import Block, Layout, VectorFormat

# Rows of a row group, which readers read at once: 25 MB of the model's float32 vectors.
_GROUP_ROWS = 1 << 14


class Parquet(VectorFormat):
    """A Parquet file; the schema's metadata has the space id as "space_id".

    Its writer keeps the index of all pages in memory until the end, so the partial file is a
    sequence of Arrow record batches.
    """

    assembled = True
    holds_text = True

    def __init__(self, layout: Layout) -> None:
        """Take what the vectors are; ImportError without pyarrow."""
        super().__init__(layout)
        arrow = import_pyarrow()
        value = arrow.from_numpy_dtype(layout.dtype)
        fields = [arrow.field("index", arrow.int64(), nullable=False)]
        if layout.with_text:
            fields.append(arrow.field("text", arrow.string(), nullable=False))
        fields.append(arrow.field("embedding", arrow.list_(value, layout.columns), nullable=False))
        self._schema = arrow.schema(fields, metadata={"space_id": layout.space_id})

    def append(self, file: IO[bytes], block: Block) -> None:
        """Write the rows as one record batch."""
        arrow = import_pyarrow()
        columns = [arrow.array(np.asarray(block.indices, np.int64))]
        if self.layout.with_text:
            columns.append(arrow.array(map(replace_surrogates, block.texts), arrow.string()))
        columns.append(to_arrow(block.vectors))
        file.write(arrow.record_batch(columns, schema=self._schema).serialize())

    def assemble(self, partial: IO[bytes], file: IO[bytes]) -> None:
        """Write the batches in row groups of equal size, whatever the blocks were."""
        import_pyarrow()
        from pyarrow import parquet

        # Vectors do not compress, and almost no two are equal.
        options = {"compression": {"index": "zstd", "text": "zstd"}, "use_dictionary": False}
        if not self.layout.with_text:
            options["compression"] = {"index": "zstd"}
        with parquet.ParquetWriter(file, self._schema, **options) as writer:
            for table in self._groups(partial):
                writer.write_table(table, row_group_size=_GROUP_ROWS)

    def _groups(self, partial: IO[bytes]) -> Iterator[Any]:
        arrow = import_pyarrow()
        waiting: list[Any] = []
        rows = 0
        while (message := _next_message(partial)) is not None:
            waiting.append(arrow.ipc.read_record_batch(message, self._schema))
            rows += waiting[-1].num_rows
            while rows >= _GROUP_ROWS:
                table = arrow.Table.from_batches(waiting, self._schema)
                yield table.slice(0, _GROUP_ROWS)
                waiting = table.slice(_GROUP_ROWS).to_batches()
                rows -= _GROUP_ROWS
        if rows:
            yield arrow.Table.from_batches(waiting, self._schema)


def _next_message(file: IO[bytes]) -> Any:
    """Read the next message; None at the end of the file."""
    try:
        return import_pyarrow().ipc.read_message(file)
    except EOFError:
        return None
