"""The core's tokenizer for ASCII texts, if a tokenizer.json describes one that it equals."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from bge_micro import _core

# Where a vocabulary may begin. What is around it is small, so Python's parser reads that.
_VOCAB = re.compile(rb'"vocab"\s*:\s*(?=\{)')
# The core keeps a word of this length in memory, and ids of special tokens as 32-bit integers.
_LONGEST_WORD = 1 << 16
_IDS = range(1 << 31)


class PlainTokenizer(NamedTuple):
    """The core's tokenizer and what else is known of the tokenizer that it equals.

    Attributes:
        core: The tokenizer of ASCII texts.
        before: The ids of the special tokens before every text.
        after: Those after it.
        max_id: The largest id that a text can give, ASCII or not.
    """

    core: _core.WordPiece
    before: list[int]
    after: list[int]
    max_id: int


def plain_tokenizer(content: bytes) -> PlainTokenizer | None:
    """Make the core's tokenizer from the content of a tokenizer.json.

    Returns:
        The tokenizer; None if the content is damaged, or a part of it is not as in BERT: then only
        `tokenizers` can tell what it means.
    """
    try:
        return _make(content)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None  # parts are missing, or are of other types


def _make(content: bytes) -> PlainTokenizer | None:
    found = _VOCAB.search(content)
    if found is None:
        return None
    vocabulary = _core.Vocabulary(content, found.end())
    content[found.end() : vocabulary.end].decode()  # UnicodeDecodeError if it is not UTF-8
    rest = json.loads(content[: found.end()] + b"{}" + content[vocabulary.end :])
    model, normalizer = rest["model"], rest["normalizer"]
    special = _special_ids(rest["post_processor"])
    added = rest["added_tokens"]
    unknown = vocabulary.id_of(model["unk_token"])
    longest_word = model["max_input_chars_per_word"]
    if (
        model["vocab"] != {}  # another "vocab" was found
        or special is None
        or unknown is None
        or not _is_bert(model, normalizer, rest["pre_tokenizer"])
        or type(longest_word) is not int
        or longest_word not in range(_LONGEST_WORD)
    ):
        return None
    before, after = special
    ids = [*before, *after, *(token["id"] for token in added)]
    marks = [mark for mark in map(_mark_of, added) if mark]
    if len(marks) < len(added) or any(
        type(number) is not int or number not in _IDS for number in ids
    ):
        return None
    core = _core.WordPiece(
        vocabulary,
        unknown=unknown,
        continuing_prefix=model["continuing_subword_prefix"],
        longest_word=longest_word,
        lowercase=normalizer["lowercase"],
        added=marks,
        before=before,
        after=after,
    )
    return PlainTokenizer(core, before, after, max(vocabulary.max_id, *ids))


def _is_bert(model: Any, normalizer: Any, pre_tokenizer: Any) -> bool:
    return (
        model["type"] == "WordPiece"
        and normalizer["type"] == "BertNormalizer"
        and normalizer["clean_text"] is True
        and type(normalizer["lowercase"]) is bool
        and type(normalizer["handle_chinese_chars"]) is bool
        and normalizer["strip_accents"] in (None, False, True)
        and pre_tokenizer == {"type": "BertPreTokenizer"}
    )


def _special_ids(post_processor: Any) -> tuple[list[int], list[int]] | None:
    """Return the ids before and after a text; None if a text is changed in other ways."""
    if post_processor["type"] == "BertProcessing":
        return [post_processor["cls"][1]], [post_processor["sep"][1]]
    if post_processor["type"] != "TemplateProcessing":
        return None
    known = post_processor["special_tokens"]
    sides: tuple[list[int], list[int]] = ([], [])
    texts = 0
    for piece in post_processor["single"]:
        ((kind, value),) = piece.items()
        if value["type_id"] != 0:
            return None
        if kind == "SpecialToken":
            sides[texts].extend(known[value["id"]]["ids"])
        elif value["id"] == "A":
            texts += 1
    for piece in post_processor["pair"]:  # must be right, too, or `tokenizers` does not load it
        ((kind, value),) = piece.items()
        if kind == "SpecialToken" and value["id"] not in known:
            return None
    return sides if texts == 1 else None


def _mark_of(token: Any) -> str | None:
    """Return what marks a text that may hold an added token; None if nothing simple does."""
    content = token["content"]
    if token["normalized"] is False:
        return content  # type: ignore[no-any-return]
    # It is sought in the normalized text: one mark stays as it is there, words do not.
    first: str = content[:1]
    return first if content.isascii() and first.isprintable() and not first.isalnum() else None
