"""The tokenizer of a model: texts in, one ragged batch out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from bge_micro.tokenization.ragged import RaggedBatch
from bge_micro.tokenization.wordpiece import plain_tokenizer

if TYPE_CHECKING:
    import tokenizers

    from bge_micro.tokenization.reference import ReferenceTokenizer


class Tokenizer:
    """A tokenizer.json with its special tokens, safe to share between threads.

    The core tokenizes ASCII texts, if the tokenizer is like BERT's. Hugging Face's `tokenizers`
    does everything else; it is imported, and reads the file, when the first such text comes. Both
    give the same ids.
    """

    def __init__(self, content: bytes, *, source: str) -> None:
        """Load a tokenizer from the content of a tokenizer.json, in UTF-8.

        Args:
            content: The file's bytes.
            source: Its name in error messages, such as its path.

        Raises:
            ValueError: It is not a tokenizer, or not one that can be used here.
        """
        self._content = content
        self._source = source
        self._loaded: ReferenceTokenizer | None = None
        self._plain = plain_tokenizer(content)
        known = self._plain or self._reference
        self._special_count = len(known.before) + len(known.after)
        self.suffix_count = len(known.after)

    @classmethod
    def from_json(cls, text: str | bytes, *, source: str) -> Tokenizer:
        """Load a tokenizer from the text of a tokenizer.json; the same as the constructor."""
        return cls(text.encode("utf-8") if isinstance(text, str) else text, source=source)

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Tokenizer:
        """Load a tokenizer.json.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is not a tokenizer, or not one that can be used here.
        """
        return cls(Path(path).read_bytes(), source=str(path))

    @property
    def _reference(self) -> ReferenceTokenizer:
        # Without a lock, which a fork could leave locked: at worst two threads load it at once. The
        # content is taken first, because the other thread drops it when it has loaded.
        content = self._content
        if self._loaded is None:
            from bge_micro.tokenization.reference import ReferenceTokenizer  # 20 ms with its JSON

            self._loaded = ReferenceTokenizer.from_json(content, source=self._source)
            self._content = b""
        return self._loaded

    def copy(self) -> tokenizers.Tokenizer:
        """Return a copy of the tokenizer, which the caller may change."""
        return self._reference.copy()

    def encode_pair(self, first: str, second: str) -> tokenizers.Encoding:
        """Return the tokens of a short pair of texts, special tokens and types included."""
        return self._reference.encode_pair(first, second)

    @property
    def max_id(self) -> int:
        """The largest id that a text can give; a model needs more word embeddings than that."""
        return (self._plain or self._reference).max_id

    def ragged(
        self, texts: Sequence[str], limit: int, threads: int = 1, *, prefix: str = ""
    ) -> RaggedBatch:
        """Tokenize texts, truncating each to `limit` tokens.

        The ids are those of Hugging Face's tokenizer with `enable_truncation(limit)`, but a huge
        text is read only as far as needed. Surrogates count as U+FFFD.

        Args:
            texts: The texts; may be empty.
            limit: The most tokens of a text, special tokens included.
            threads: The most threads to use. The thread pool of `tokenizers` uses all CPUs or
                none, so fewer threads than CPUs mean one.
            prefix: Text before each text; the texts themselves are not copied.

        Raises:
            ValueError: `limit` leaves no room for the special tokens.
            TypeError: An element is not a string.
        """
        if limit < self._special_count:
            raise ValueError(
                f"limit is {limit}; expected at least {self._special_count}, "
                "the number of special tokens"
            )
        if self._plain is None:
            return self._reference.ragged(texts, limit, threads, prefix=prefix)
        ids, offsets, truncated, others = self._plain.core.ragged(texts, limit, prefix)
        batch = RaggedBatch(ids, offsets, truncated)
        if not others:
            return batch
        rest = self._reference.ragged([texts[row] for row in others], limit, threads, prefix=prefix)
        return batch.with_rows(others, rest)

    def contents(self, texts: Sequence[str], most: int, threads: int = 1) -> Iterator[list[int]]:
        """Yield each text's ids without special tokens: all of them, or more than `most`.

        Args:
            texts: The texts.
            most: How many ids of a text are wanted.
            threads: As for `ragged`.
        """
        return self._reference.contents(texts, most, threads)

    def token_count(self, text: str) -> int:
        """Count all tokens of a text, special tokens included, whatever its length."""
        return self._reference.token_count(text)
