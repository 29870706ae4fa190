"""Hugging Face's `tokenizers`, which can read every text and tokenizer: the reference for ids."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import tokenizers
from tokenizers.models import Unigram, WordPiece

from bge_micro.tokenization.cutting import BLANKS, Cutter
from bge_micro.tokenization.ragged import RaggedBatch
from bge_micro.tokenization.surrogates import replace_surrogates

# A text is first read up to this many characters for each token of the limit, which is enough for
# nearly all texts.
_CHARS_PER_TOKEN = 8
# `tokenizers` keeps some 150 bytes per token until its ids are copied, and Python 40 more, so long
# lists are tokenized in groups of this many characters.
_GROUP_CHARS = 1 << 18
# With fewer characters (about 2 ms of work) waking the thread pool gains nothing.
_POOL_CHARS = 1 << 13
# `token_count` reads this many characters at a time.
_COUNT_CHUNK = 1 << 14
_NO_IDS = np.empty(0, np.int32)
_IMPORTED_IN = os.getpid()


class ReferenceTokenizer:
    """A Hugging Face tokenizer with its special tokens, safe to share between threads.

    Stored padding and truncation are switched off here, once. The tokenizer inside is never
    changed again, because a change fails ("Already borrowed") while another thread encodes.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, *, source: str) -> None:
        """Wrap `tokenizer`.

        Args:
            tokenizer: The tokenizer; it must not be used elsewhere.
            source: Its name in error messages, such as its file.

        Raises:
            ValueError: It cannot encode, or changes a text in other ways than by special tokens
                before and after it.
        """
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self.before, self.after = special_ids(tokenizer, source)
        self._special_count = len(self.before) + len(self.after)
        self._cutter = Cutter.for_tokenizer(tokenizer)
        self._pool_works = True

    @classmethod
    def from_json(cls, content: bytes, *, source: str) -> ReferenceTokenizer:
        """Load a tokenizer from the content of a tokenizer.json.

        Args:
            content: The JSON, in UTF-8.
            source: Its name in error messages, such as its file.

        Raises:
            ValueError: The text is not a tokenizer, or not one that can be used here.
        """
        try:
            tokenizer = tokenizers.Tokenizer.from_buffer(content)
        except Exception as error:  # tokenizers raises plain Exception
            raise ValueError(f"{source}: not a readable tokenizer.json: {error}") from error
        return cls(tokenizer, source=source)

    def copy(self) -> tokenizers.Tokenizer:
        """Return a copy of the tokenizer, which the caller may change."""
        return tokenizers.Tokenizer.from_str(self._tokenizer.to_str())

    def encode_pair(self, first: str, second: str) -> tokenizers.Encoding:
        """Return the tokens of a short pair of texts, special tokens and types included."""
        return self._tokenizer.encode(first, second)

    @property
    def max_id(self) -> int:
        """The largest id that a text can give; a model needs more word embeddings than that."""
        others = (*self._tokenizer.get_added_tokens_decoder(), *self.before, *self.after)
        if isinstance(self._tokenizer.model, Unigram):
            # The vocabulary is a list. To make a dictionary of 250,000 tokens takes 0.3 seconds.
            return max(self._tokenizer.get_vocab_size(with_added_tokens=False) - 1, *others)
        return max(*self._tokenizer.get_vocab(with_added_tokens=False).values(), *others)

    def ragged(
        self, texts: Sequence[str], limit: int, threads: int = 1, *, prefix: str = ""
    ) -> RaggedBatch:
        """Tokenize texts as `Tokenizer.ragged` does, which has checked the limit."""
        room = limit - self._special_count
        first_chunk = _CHARS_PER_TOKEN * limit
        end = 0
        offsets = [end]
        truncated: list[bool] = []
        blocks = []
        for group in _groups(texts, first_chunk):
            block: list[int] = []
            for content in self._contents(group, prefix, first_chunk, room, threads):
                truncated.append(len(content) > room)
                ids = self.before + content[:room] + self.after
                block += ids
                end += len(ids)
                offsets.append(end)
            # fromiter: for one short text the other NumPy calls would take longer.
            blocks.append(np.fromiter(block, np.int32, len(block)))
        return RaggedBatch(
            ids=blocks[0] if len(blocks) == 1 else np.concatenate([_NO_IDS, *blocks]),
            offsets=np.fromiter(offsets, np.int64, len(offsets)),
            truncated=np.fromiter(truncated, np.bool_, len(truncated)),
        )

    def contents(self, texts: Sequence[str], most: int, threads: int) -> Iterator[list[int]]:
        """Yield each text's ids as `Tokenizer.contents` does."""
        first_chunk = _CHARS_PER_TOKEN * most
        for group in _groups(texts, first_chunk):
            yield from self._contents(group, "", first_chunk, most, threads)

    def token_count(self, text: str) -> int:
        """Count all tokens of a text, special tokens included, whatever its length."""
        chunks = self._cutter.chunks(text, _COUNT_CHUNK) if self._cutter else iter([(text, 0)])
        content = sum(len(self._encode([chunk], 1)[0]) - repeated for chunk, repeated in chunks)
        return self._special_count + content

    def _contents(
        self, texts: Sequence[str], prefix: str, first_chunk: int, room: int, threads: int
    ) -> Iterator[list[int]]:
        """Yield each text's ids without special tokens: all of them, or more than `room`."""
        starts = list(texts)
        rests: dict[int, Iterator[tuple[str, int]]] = {}
        if self._cutter:
            for row, text in enumerate(starts):
                if len(text) > first_chunk:
                    rests[row] = self._cutter.chunks(text, first_chunk)
                    starts[row], _ = next(rests[row], ("", 0))
        if prefix:
            # Whether a cut is safe depends on the characters near it, so the prefix before a first
            # chunk changes nothing. The first blanks of a text that is cut have been removed.
            starts = [
                f"{prefix} {start}"
                if row in rests and text.startswith(tuple(BLANKS))
                else prefix + start
                for row, (text, start) in enumerate(zip(texts, starts, strict=True))
            ]
        for row, content in enumerate(self._encode(starts, threads)):
            while row in rests and len(content) <= room:
                chunk, repeated = next(rests[row], ("", 0))
                if not chunk:
                    break
                content += self._encode([chunk], 1)[0][repeated:]
            yield content

    def _encode(self, texts: list[str], threads: int) -> list[list[int]]:
        try:
            if self._pool_works and _batch_call_serves(texts, threads):
                batch = self._encode_batch(texts)
            else:
                encode = self._tokenizer.encode
                batch = [encode(text, add_special_tokens=False) for text in texts]
        except TypeError:
            # Only strings with surrogates are refused; to look for them first would cost time
            # for every text.
            cleaned = [replace_surrogates(text) for text in texts]
            if cleaned == texts:
                raise
            return self._encode(cleaned, threads)
        return [encoding.ids for encoding in batch]

    def _encode_batch(self, texts: list[str]) -> list[tokenizers.Encoding]:
        try:
            return self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        except BaseException as error:  # a panic inside tokenizers is no Exception
            if type(error).__name__ != "PanicException":
                raise
            # A limit on processes or memory keeps the pool's threads from starting.
            self._pool_works = False
            encode = self._tokenizer.encode
            return [encode(text, add_special_tokens=False) for text in texts]


def _groups(texts: Sequence[str], longest: int) -> Iterator[Sequence[str]]:
    start = chars = 0
    for row, text in enumerate(texts):
        chars += min(len(text), longest)
        if chars >= _GROUP_CHARS:
            yield texts[start : row + 1]
            start, chars = row + 1, 0
    if start < len(texts):
        yield texts[start:]


def special_ids(tokenizer: tokenizers.Tokenizer, source: str) -> tuple[list[int], list[int]]:
    """Return the special tokens before and after every text, found by encoding a letter.

    Raises:
        ValueError: The tokenizer cannot encode, or changes a text in other ways; `source` is named.
    """
    model = tokenizer.model
    if isinstance(model, WordPiece) and model.token_to_id(model.unk_token) is None:
        raise ValueError(
            f"{source}: the unknown token {model.unk_token!r} is not in the vocabulary"
        )
    try:
        content = tokenizer.encode("a", add_special_tokens=False).ids
        whole = tokenizer.encode("a")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic inside tokenizers is no Exception
        raise ValueError(f"{source}: the tokenizer cannot encode a text: {error}") from error
    start = whole.special_tokens_mask.index(0) if 0 in whole.special_tokens_mask else 0
    prefix, suffix = whole.ids[:start], whole.ids[start + len(content) :]
    if not content or whole.ids != prefix + content + suffix or any(whole.type_ids):
        raise ValueError(
            f"{source}: the letter 'a' gives ids {content}, with special tokens {whole.ids} of "
            f"types {whole.type_ids}; expected the same ids with special tokens before and after, "
            "all of type 0"
        )
    return prefix, suffix


def _batch_call_serves(texts: list[str], threads: int) -> bool:
    """Decide between one `encode_batch_fast` and an `encode` for each text.

    `encode_batch_fast` is faster per text and releases the GIL. But unless the environment says
    TOKENIZERS_PARALLELISM=false, it runs in a pool of threads on all CPUs, which it starts and
    waits for even for one text. `encode` never uses the pool.
    """
    parallelism = os.environ.get("TOKENIZERS_PARALLELISM")
    if parallelism is not None and parallelism.lower() in {"", "off", "false", "f", "no", "n", "0"}:
        return True
    return (
        threads > 1
        and len(texts) > 1
        and sum(map(len, texts)) >= _POOL_CHARS
        and threads >= _pool_size()
        # After a fork the pool has no threads, and a call would wait for ever. `tokenizers` then
        # turns parallelism off by itself, unless the environment demands it.
        and (parallelism is None or os.getpid() == _IMPORTED_IN)
    )


def _pool_size() -> int:
    wanted = os.environ.get("RAYON_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
