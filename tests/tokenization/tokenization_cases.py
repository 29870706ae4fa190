"""Texts that are hard to tokenize, for Hypothesis, and the type of the fixture to compare with."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

Reference = Callable[[str, int], list[int]]

_ADDED = ["[SEP]", "[CLS]", "[MASK]", "[UNK]", "[PAD]", "[SEP", "SEP]", "[[SEP]]", "[S\x00EP]"]
_WORDS = ["hello", "unaffable", "don't", "Ünïcode", "Σς", "İ", "ß", "ﬁ", "日本", "한국어", "กรุงเทพ"]
_MARKS = [
    "e\u0301",
    "\u0301",
    "\u0338",
    "\u0903",
    "हिन्दी",
    "\u037e",
    "👩\u200d👧",
    "\u200b",
    "\ufeff",
]
_BLANKS = [
    " ",
    "\n",
    "\t",
    "\r\n",
    " " * 50,
    "\x0b",
    "\x0c",
    "\x1c",
    "\x85",
    "\xa0",
    "\u2028",
    "\u3000",
]
_DELETED = ["\x00", "\ufffd", "\ud800", "\udfff", "\ud83d\ude00", "\x00" * 900, "\u0301" * 900]
_LONG = ["a" * 100, "a" * 101, "ab" * 450, "é" * 900, "e\u0301" * 101, "カ" * 900, "z\x00" * 450]
_IDEOGRAPHS = ["\uf900", "\ufa6e", "\U0002f800", "\U0002b820", "\U0002b920", "、", "。", "…"]
_PIECES = st.one_of(
    st.sampled_from([*_ADDED, *_WORDS, *_MARKS, *_DELETED, *_LONG, *_IDEOGRAPHS]),
    st.sampled_from(_BLANKS),
    st.text(st.characters(codec=None), max_size=4),
    st.text("abc.,-[]SEP ", max_size=12),
)

texts = st.lists(_PIECES, max_size=40).map("".join)
