"""Requests' rows on their way to vectors: as they came, as tokens, and as what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.plan import Plan
from bge_micro.server.errors import InputError, RequestError
from bge_micro.server.models import Model, Tokens
from bge_micro.server.tokens import IdReader

# What a text counts for before its tokens are known: four letters a token, as in English, and no
# more characters than are read of it.
_TOKEN_CHARACTERS = 4
_MOST_CHARACTERS = 1 << 12


@dataclass(frozen=True)
class Embedded:
    """What became of a request's rows.

    Attributes:
        vectors: float32, shape (n, dimensions); of pairs the logits, (n, 1).
        tokens: Tokens that were used, special tokens included.
        truncated: Texts that had more.
    """

    vectors: NDArray[np.float32]
    tokens: int
    truncated: int


def length_of(row: Any) -> int:
    """Return the characters of a text or a pair of texts, or the number of a list's token ids."""
    return sum(map(len, row)) if isinstance(row, tuple) else len(row)


@dataclass(eq=False)
class Job:
    """A request's rows. Only one thread at a time has it.

    Attributes:
        model: What they go through.
        rows: n texts, pairs of texts, or lists of what should be token ids.
        plan: How they become vectors.
        truncate: Whether texts with too many tokens are used up to the limit.
        ids: Reads them, if they are lists.
        answer: Where the result goes; cancelled if nobody waits for it any more.
        ready: Rows' tokens that the core has not seen yet.
        tokenized: Rows whose tokens are or were in `ready`.
        error: Why there is no result.
    """

    model: Model
    rows: Sequence[Any]
    plan: Plan
    truncate: bool
    ids: IdReader | None = None
    answer: asyncio.Future[Embedded] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    ready: list[Tokens] = field(default_factory=list)
    tokenized: int = 0
    error: RequestError | None = None
    _blocks: list[NDArray[np.float32]] = field(default_factory=list)
    _tokens: int = 0
    _truncated: int = 0

    @property
    def done(self) -> int:
        """Rows that have vectors."""
        return self.tokenized - len(self.ready)

    @property
    def left(self) -> int:
        """Rows that have none yet."""
        return len(self.rows) - self.done

    @property
    def over(self) -> bool:
        """Whether nothing is left to do, or nobody waits for it any more."""
        return self.error is not None or not self.left or self.answer.done()

    def to_tokenize(self, room: int) -> tuple[Sequence[Any], int]:
        """Return the rows to tokenize next so that some `room` tokens are ready, and how many."""
        stop = self.tokenized
        size = sum(map(len, self.ready))
        while stop < len(self.rows) and size < room:
            length = length_of(self.rows[stop])
            if self.ids is None:
                length = min(length, _MOST_CHARACTERS) // _TOKEN_CHARACTERS + 2  # [CLS] and [SEP]
            size += length
            stop += 1
        return self.rows[self.tokenized : stop], size

    def add_tokens(self, rows: list[Tokens], truncated: NDArray[np.bool_]) -> None:
        """Take the tokens of the next rows."""
        if truncated.any():
            if not self.truncate:
                row = self.tokenized + int(truncated.argmax())
                self.error = InputError(
                    f"row {row} has more than {self.plan.limit} tokens; split it, or use its "
                    "beginning: send truncate, or start the server with --truncate"
                )
                return
            self._truncated += int(truncated.sum())
        self.ready += rows
        self.tokenized += len(rows)

    def take(self, room: int, at_least: int = 0) -> list[Tokens]:
        """Take rows that are ready, as many as there is room for; none if they are of no use."""
        if self.error is not None or self.answer.cancelled():
            return []
        count = 0
        while count < len(self.ready) and (count < at_least or len(self.ready[count]) <= room):
            room -= len(self.ready[count])
            count += 1
        taken, self.ready = self.ready[:count], self.ready[count:]
        return taken

    def add_vectors(self, rows: Sequence[Tokens], vectors: NDArray[np.float32]) -> None:
        """Take the vectors of the rows that were taken last."""
        self._blocks.append(vectors)
        self._tokens += sum(map(len, rows))

    def deliver(self) -> None:
        """Hand over the result, or the error; in the event loop."""
        if self.error is not None:
            self.refuse(self.error)
        if self.answer.done():  # or cancelled
            return
        vectors = self._blocks[0] if len(self._blocks) == 1 else np.concatenate(self._blocks)
        self.answer.set_result(Embedded(vectors, self._tokens, self._truncated))

    def refuse(self, error: RequestError) -> None:
        """Hand over an error, unless there is an answer already; in the event loop."""
        if not self.answer.done():
            self.answer.set_exception(error)
