r"""Cut a huge text so that its chunks' tokens are exactly the whole text's tokens.

A tokenizer always reads its whole string, so it gets a huge text in chunks. With BertNormalizer,
BertPreTokenizer and WordPiece two kinds of cut are safe:

1. After a space, \t, \n, \r or an ASCII punctuation mark, and, if the normalizer puts ideographs
   between spaces, after an ideograph: a word has ended there, whatever follows. The tokens of the
   text are those of the first chunk, then those of the second.
2. Inside a word that is already longer than WordPiece's limit: it is one unknown token, whatever
   follows. The next chunk starts so far before the cut that the rest of the word is unknown too;
   its first token repeats the one before the cut and is dropped.

Other characters are not safe: \x0b, \x0c and \x85 look like blanks, but the normalizer deletes
them and joins the words on both sides, and marks may attach to the character before them.
An added token such as [SEP] is never cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

import tokenizers
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from bge_micro.tokenization.surrogates import replace_surrogates

BLANKS = " \t\n\r"
# ASCII's; the module `string` also has it, but takes 0.6 ms to import.
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
# BertNormalizer's ranges; U+2B820..U+2B91F are not among them.
_IDEOGRAPHS = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    "\U0002b740-\U0002b81f\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f"
)
_BLANK_RUN = re.compile(f"[{BLANKS}]*")

# Chunks grow up to this many characters: far above the cost of a call, far below 50 MB of work.
_LARGEST_CHUNK = 1 << 16


class Cutter:
    """Cuts huge texts into chunks for one tokenizer."""

    def __init__(
        self,
        normalizer: BertNormalizer,
        pre_tokenizer: BertPreTokenizer,
        longest_word: int,
        added_tokens: list[str],
    ) -> None:
        """Use `for_tokenizer`, which knows where cutting is exact."""
        self._normalizer = normalizer
        self._pre_tokenizer = pre_tokenizer
        self._longest_word = longest_word
        # Long enough for a word of which the normalizer deletes some characters.
        self._window = 4 * (longest_word + 1)
        self._added_tokens = added_tokens

    @cached_property
    def _word_end(self) -> re.Pattern[str]:
        """The characters that always end a word; compiled for the first huge text."""
        ideographs = _IDEOGRAPHS if self._normalizer.handle_chinese_chars else ""
        return re.compile(f"[{BLANKS}{re.escape(_PUNCTUATION)}{ideographs}]")

    @classmethod
    def for_tokenizer(cls, tokenizer: tokenizers.Tokenizer) -> Cutter | None:
        """Return the tokenizer's cutter, or None if cutting would not be exact."""
        normalizer, pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
        model, added = tokenizer.model, tokenizer.get_added_tokens_decoder().values()
        if (
            type(normalizer) is not BertNormalizer
            or type(pre_tokenizer) is not BertPreTokenizer
            or type(model) is not WordPiece
        ):
            return None
        for token in added:
            # A token that is matched after normalizing, only between words, or across blanks may
            # cross a cut; one that ends like a word may match part of a long word.
            if (
                token.normalized
                or token.single_word
                or any(character.isspace() for character in token.content)
                or token.content[-1] not in _PUNCTUATION
            ):
                return None
        contents = [token.content for token in added]
        return cls(normalizer, pre_tokenizer, model.max_input_chars_per_word, contents)

    def chunks(self, text: str, size: int) -> Iterator[tuple[str, int]]:
        """Yield (chunk, repeated): together, the chunks have the tokens of `text`.

        The first `repeated` tokens of a chunk do not count. Only the yielded part of the text is
        read, so a caller that has enough tokens can stop. A part without safe cuts is one chunk.

        Args:
            text: The text.
            size: Characters of the first chunk, or a little more; later ones grow.
        """
        start, repeated = 0, 0
        while True:
            if not repeated:
                # Blanks give no tokens, and tokenizing a hundred million of them takes long.
                start = _BLANK_RUN.match(text, start).end()  # type: ignore[union-attr]
            if start >= len(text):
                return
            chunk, start, repeats = self._next_chunk(text, start, start + size)
            yield chunk, repeated
            repeated = repeats
            size = max(size, min(2 * size, _LARGEST_CHUNK))

    def _next_chunk(self, text: str, start: int, position: int) -> tuple[str, int, int]:
        """Cut at the first safe place at or after `position`.

        Every place between marks and blanks is tried; inside long words only a few, at growing
        distances. Text that is known to give no further tokens is skipped, because tokenizing it
        would take a hundred times longer.

        Returns:
            The chunk that begins at `start`, the next chunk's start, and how many of the next
            chunk's first tokens repeat this one's.
        """
        parts: list[str] = []
        stride = self._window
        while (end := position + stride) < len(text):
            if cut := self._find_word_end(text, position, end):
                return "".join([*parts, text[start:cut]]), cut, 0
            window = text[end - self._window : end]
            run = self._end_of_run(text, end)
            words = self._words(window)
            if len(words) == 1 and len(words[0]) > self._longest_word:
                if not self._splits_added_token(text, end):
                    return "".join([*parts, text[start:end]]), run - self._window, 1
            elif not words and run > end:
                # One repeated character that gives no tokens. A window of it is kept, because it
                # may separate "[S" from "EP]".
                parts.append(text[start:end])
                start = run
            position, stride = run, 2 * stride
        cut = self._find_word_end(text, position, len(text)) or len(text)
        return "".join([*parts, text[start:cut]]), cut, 0

    def _find_word_end(self, text: str, start: int, stop: int) -> int | None:
        for match in self._word_end.finditer(text, start - 1, stop):
            if not self._splits_added_token(text, match.end()):
                return match.end()
        return None

    def _end_of_run(self, text: str, end: int) -> int:
        """Return the end of the run that the window before `end` is part of, or `end`.

        A run is ASCII letters and digits, which all lengthen a word, or one repeated character.
        """
        start = end - self._window
        alike = re.compile(f"[A-Za-z0-9]+|{re.escape(text[start])}+").match(text, start)
        return max(end, alike.end() if alike else end)

    def _words(self, window: str) -> list[str]:
        normalized = self._normalizer.normalize_str(replace_surrogates(window))
        return [word for word, _ in self._pre_tokenizer.pre_tokenize_str(normalized)]

    def _splits_added_token(self, text: str, cut: int) -> bool:
        return any(
            text.find(token, max(cut - len(token) + 1, 0), cut + len(token) - 1) >= 0
            for token in self._added_tokens
        )
