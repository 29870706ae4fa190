"""Pairs of texts as one row of tokens each, as rerankers read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tokenizers

from bge_micro.tokenization.ragged import RaggedBatch
from bge_micro.tokenization.tokenizer import Tokenizer

Pair = tuple[str, str]


class _Part(NamedTuple):
    """Special tokens and their types."""

    ids: list[int]
    types: list[int]


class PairTokenizer:
    """Tokenizes pairs: `[CLS] first [SEP] second [SEP]`, or what the tokenizer's template says."""

    def __init__(self, tokenizer: Tokenizer, *, source: str) -> None:
        """Read the template from the pair of a letter and itself.

        Args:
            tokenizer: The tokenizer of single texts.
            source: Its name in error messages, such as its file.

        Raises:
            ValueError: The tokenizer changes pairs in other ways than by special tokens.
        """
        self._tokenizer = tokenizer
        whole = tokenizer.encode_pair("a", "a")
        sequences = whole.sequence_ids
        first = [place for place, number in enumerate(sequences) if number == 0]
        second = [place for place, number in enumerate(sequences) if number == 1]
        content = next(tokenizer.contents(["a"], 8))
        if not (
            [whole.ids[place] for place in first] == content
            and [whole.ids[place] for place in second] == content
            and first == list(range(first[0], first[0] + len(first)))
            and second == list(range(second[0], second[0] + len(second)))
            and first[0] < second[0]
        ):
            raise ValueError(
                f"{source}: the letter 'a' gives ids {content}, with itself as a pair {whole.ids}; "
                "expected the same ids twice, with special tokens before, between and after them"
            )
        self._before = _part(whole, 0, first[0])
        self._between = _part(whole, first[-1] + 1, second[0])
        self._after = _part(whole, second[-1] + 1, len(whole.ids))
        self._types = whole.type_ids[first[0]], whole.type_ids[second[0]]
        self.special_count = len(whole.ids) - 2 * len(content)

    def ragged(self, pairs: Sequence[Pair], limit: int, threads: int = 1) -> RaggedBatch:
        """Tokenize pairs, truncating each to `limit` tokens.

        The ids and types are those of Hugging Face's tokenizer with
        `enable_truncation(limit, strategy="longest_first")`. A text that is in many pairs, as a
        query is, is tokenized once.

        Args:
            pairs: The pairs; may be empty.
            limit: The most tokens of a pair, special tokens included.
            threads: As for `Tokenizer.ragged`.

        Raises:
            ValueError: `limit` leaves no room for a token of each text.
            TypeError: A text is not a string.
        """
        room = limit - self.special_count
        if room < 2:
            raise ValueError(
                f"limit is {limit}; expected at least {self.special_count + 2}: the "
                f"{self.special_count} special tokens of a pair, and one token of each text"
            )
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        contents = dict(zip(texts, self._tokenizer.contents(texts, room, threads), strict=True))
        ids: list[int] = []
        types: list[int] = []
        ends = [0]
        truncated = []
        for first, second in pairs:
            counts = len(contents[first]), len(contents[second])
            if min(counts) > room and room % 2:  # the longer one keeps a token more
                counts = self._count(first), self._count(second)
            kept = longest_first(*counts, room)
            truncated.append(kept != counts)
            parts = (
                self._before,
                _of_type(contents[first][: kept[0]], self._types[0]),
                self._between,
                _of_type(contents[second][: kept[1]], self._types[1]),
                self._after,
            )
            for part in parts:
                ids += part.ids
                types += part.types
            ends.append(len(ids))
        return RaggedBatch(
            ids=np.array(ids, np.int32),
            offsets=np.array(ends, np.int64),
            truncated=np.array(truncated, np.bool_),
            types=np.array(types, np.int32),
        )

    def _count(self, text: str) -> int:
        return self._tokenizer.token_count(text)


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Return how many tokens two texts keep, as `tokenizers` truncates a pair to `room` tokens.

    The longer text loses tokens until both have the same number; then both do.
    """
    if first + second <= room:
        return first, second
    shorter = min(first, second, room // 2)
    longer = room - shorter
    return (longer, shorter) if first > second else (shorter, longer)


def _part(whole: tokenizers.Encoding, start: int, end: int) -> _Part:
    return _Part(whole.ids[start:end], whole.type_ids[start:end])


def _of_type(ids: list[int], kind: int) -> _Part:
    return _Part(ids, [kind] * len(ids))
