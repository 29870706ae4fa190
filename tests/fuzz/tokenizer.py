"""Texts: the ids are those of Hugging Face's tokenizer, whatever the text, limit and prompt.

The vocabulary is small and limits are low, so that most texts are cut and read in chunks.
"""

from __future__ import annotations

import re

from bge_micro.tokenization import Tokenizer, build_wordpiece_tokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCAB = [*SPECIALS, *"abcdefghijklmnopqrst.,-[]", *(f"##{c}" for c in "abcdefghst"), "日", "é", "É"]
OPTIONS: list[dict[str, bool]] = [
    {},
    {"lowercase": False},
    {"strip_accents": False},
    {"handle_chinese_chars": False},
]
OURS = [
    Tokenizer.from_json(build_wordpiece_tokenizer(VOCAB, **options).to_str(), source="fuzz")
    for options in OPTIONS
]
THEIRS = [build_wordpiece_tokenizer(VOCAB, **options) for options in OPTIONS]
_SURROGATES = re.compile("[\ud800-\udfff]")

# The meaning of an input's byte: characters and runs that are hard for a tokenizer.
PARTS = [
    *("a", "b", "ab", "s", "t", "[SEP]", "[CLS]", "[", "]", "[S", "EP]", "[UNK]", "[MASK]"),
    *(" ", "  ", "\t", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u2028", "\u3000"),
    *(".", ",", "-", "!", "$", "`", "~", "\x7f", "\x00", "\ufffd", "\u200b", "\u200d", "\ufeff"),
    *("é", "e\u0301", "\u0301", "\u0338", "\u0903", "İ", "ß", "ﬁ", "Σ", "ς", "Å", "ǆ"),
    *("日", "本", "\u3400", "\uf900", "\U00020000", "\U0002b820", "\U0002b920", "\U0002f800"),
    *("、", "。", "…", "か", "カ", "한", "ก", "👩", "\ud800", "\udfff", "\ud83d\ude00"),
    *("a" * 99, "a" * 101, "ab" * 60, "\x00" * 110, "\u0301" * 110, "é" * 101, " " * 40),
]


def text_of(data: bytes) -> str:
    """Return a text: most bytes are parts, a high one takes the next three for a code point."""
    parts = []
    at = 0
    while at < len(data):
        if data[at] < 0xF0:
            parts.append(PARTS[data[at] % len(PARTS)])
            at += 1
        else:
            parts.append(chr(int.from_bytes(data[at + 1 : at + 4], "little") % 0x110000))
            at += 4
    return "".join(parts)


def fuzz(data: bytes) -> None:
    """Tokenize the text, alone and among others, and compare."""
    if len(data) < 3:
        return
    which, limit = data[0] % len(OPTIONS), 2 + data[1] % 40
    split = 2 + data[2] % 8 if data[2] & 0x80 else 2
    prompt, text = text_of(data[3:split]), text_of(data[max(split, 3) :])
    texts = [text, text[::-1]]
    batch = OURS[which].ragged(texts, limit, prefix=prompt)
    room = limit - 2
    for row, one in enumerate(texts):
        whole = THEIRS[which].encode(
            _SURROGATES.sub("\ufffd", prompt + one), add_special_tokens=False
        )
        found = batch.ids[batch.offsets[row] : batch.offsets[row + 1]].tolist()
        assert found == [2, *whole.ids[:room], 3], (prompt, one, limit)
        assert batch.truncated[row] == (len(whole.ids) > room), (prompt, one, limit)
