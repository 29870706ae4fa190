"""Long texts as passages that the model takes whole, cut where a reader would cut them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bge_micro import Plan, SentenceTransformer

# Where a piece ends: a paragraph, a line, a sentence.
_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_PIECE = re.compile(r"\n[ \t]*\n\s*|\n|(?<=[.!?])[ \t]+|(?<=[\u3002\uff01\uff1f])")

# Characters that are tokenized together at most, of a piece without any end.
_MOST_CHARACTERS = 4096


class Titled(NamedTuple):
    """A text and the line that is put before each of its passages."""

    title: str
    text: str


class Passage(NamedTuple):
    """A part of a text: the title as it is put before it, and where it begins and ends."""

    title: str
    begin: int
    end: int


class _Piece(NamedTuple):
    """A part that is not cut: its span, its tokens, and whether it closes a paragraph."""

    begin: int
    end: int
    tokens: int
    closes: bool


class Splitter:
    """Splits texts by a model's limit of tokens."""

    def __init__(self, model: SentenceTransformer, plan: Plan, overlap: int = 0) -> None:
        """Take the model and the plan by which passages are to be encoded.

        Args:
            model: The model.
            plan: With its prompt and limit.
            overlap: How many tokens of a passage at most are the end of the one before it too.

        Raises:
            ValueError: The overlap is more than half of the limit.
        """
        self._model = model
        self._plan = plan
        self._framing = int(self._count([""])[0][0])  # special tokens, and the prompt's
        self._most = plan.limit - self._framing
        if not 0 <= overlap <= self._most // 2:
            raise ValueError(
                f"the overlap is {overlap} tokens, expected 0 to {self._most // 2}: half of what "
                "the model takes."
            )
        self._overlap = overlap

    def split(self, texts: Sequence[Titled]) -> list[list[Passage]]:
        """Return the passages of each text; one where all of it fits."""
        _, truncated = self._count([f"{title}\n{text}" for title, text in texts])
        return [
            self._split_long(title, text)
            if long
            else [Passage(title, *_stripped(text, 0, len(text)))]
            for (title, text), long in zip(texts, truncated.tolist(), strict=True)
        ]

    def _count(self, texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        batch = self._model.token_ids(texts, self._plan)
        return batch.counts, batch.truncated

    def _tokens(self, texts: list[str]) -> list[int]:
        """Return the tokens of texts without framing; more than fit count as one more than that."""
        counts, truncated = self._count(texts)
        tokens: list[int] = (counts - self._framing + truncated).tolist()
        return tokens

    def _split_long(self, title: str, text: str) -> list[Passage]:
        while (used := self._tokens([title])[0]) > self._most // 2:
            title = title[: len(title) // 2]
        room = self._most - used
        pieces = self._pieces(text, room)
        passages = []
        first = 0
        while first < len(pieces):
            end = _packed(pieces, first, room)
            begin, stop = _stripped(text, pieces[first].begin, pieces[end - 1].end)
            if begin < stop:
                passages.append(Passage(title, begin, stop))
            first = end if end == len(pieces) else self._next_first(pieces, first, end, room)
        return passages

    def _next_first(self, pieces: list[_Piece], first: int, end: int, room: int) -> int:
        """Return the first piece of the next passage: one of the last that fit into the overlap."""
        begin, shared = end, 0
        while begin - 1 > first and shared + pieces[begin - 1].tokens <= self._overlap:
            begin -= 1
            shared += pieces[begin].tokens
        # It must get further than this one.
        while begin < end and _packed(pieces, begin, room) <= end:
            begin += 1
        return begin

    def _pieces(self, text: str, room: int) -> list[_Piece]:
        """Cut a text to pieces that fit: at paragraphs, lines and sentences, else at blanks."""
        ends = [found.end() for found in _PIECE.finditer(text)] + [len(text)]
        begins = [0, *ends[:-1]]
        spans = [
            (at, min(at + _MOST_CHARACTERS, end))
            for begin, end in zip(begins, ends, strict=True)
            for at in range(begin, end, _MOST_CHARACTERS)
        ]
        paragraphs = {found.end() for found in _PARAGRAPH.finditer(text)}
        pieces: list[_Piece] = []
        while spans:
            tokens = self._tokens([text[begin:end] for begin, end in spans])
            halves: list[tuple[int, int]] = []
            for (begin, end), count in zip(spans, tokens, strict=True):
                if count <= room or end - begin < 2:
                    pieces.append(_Piece(begin, end, count, end in paragraphs))
                else:
                    middle = _cut(text, begin, end)
                    halves += [(begin, middle), (middle, end)]
            spans = halves
        return sorted(pieces)


def _packed(pieces: list[_Piece], first: int, room: int) -> int:
    """Return behind which piece a passage ends: a paragraph's last one if one fits."""
    tokens, end, paragraph = 0, first, first
    while end < len(pieces) and (end == first or tokens + pieces[end].tokens <= room):
        tokens += pieces[end].tokens
        end += 1
        if tokens and pieces[end - 1].closes:
            paragraph = end
    return paragraph if first < paragraph and end < len(pieces) else end


def _cut(text: str, begin: int, end: int) -> int:
    """Return where to cut a piece in two: at the blank nearest to its middle, or else there."""
    middle = (begin + end) // 2
    after = re.compile(r"\s\S").search(text, middle, end)
    if after and after.start() + 1 < end:
        return after.start() + 1
    before = text.rfind(" ", begin + 1, middle)
    return before + 1 if before > begin else middle


def _stripped(text: str, begin: int, end: int) -> tuple[int, int]:
    """Return the span without blank lines at its ends, and blanks at the very end."""
    part = text[begin:end]
    blank = re.match(r"(?:[ \t]*\n)*", part)
    start = begin + (blank.end() if blank else 0)
    return start, max(start, begin + len(part.rstrip()))
