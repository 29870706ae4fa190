"""Writes texts.jsonl, the golden texts: known token counts, many scripts, awkward input.

Run it as ``python tests/golden/make_texts.py``; it needs the bundled tokenizer.json. The output
depends on this file, sentences.json and the tokenizer alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from tokenizers import Tokenizer

FOLDER = Path(__file__).resolve().parent
BUNDLE = FOLDER.parents[1] / "python" / "bge_micro" / "data" / "bge-micro-v2"
LIMIT = 512  # tokens of a text, with [CLS] and [SEP]

SENTENCES: dict[str, list[str]] = json.loads((FOLDER / "sentences.json").read_text("utf-8"))

# Words of one token each, to fill up to a wanted count where the next word is too long for it.
FILLERS = ("again", "today", "perhaps", "now", "here", "still", "then", "once", "there", "too")

# What the texts of a wanted length are recombined from, in turn: groups of sentences.json.
MIXTURES = (
    ("story",),
    ("report", "question"),
    ("european",),
    ("story", "report", "question"),
    ("cyrillic_greek",),
    ("code", "report"),
    ("right_to_left",),
    ("asian",),
    ("indic_thai",),
    ("story", "numbers_symbols"),
    tuple(SENTENCES),
)

# Input that people do send, and input meant to break things.
ODD_TEXTS = (
    *(" ", "   ", "\t", "\n", "\r\n \r\n", "\u00a0\u3000\u2003", "\u200b\u200d\ufeff", "\x85\x0b"),
    *("\x00", "a\x00b", "nul \x00 between words", "\x01\x02\x7f bell \x07 and escape \x1b[31m"),
    "line one\nline two\r\nline three\u2028line four\u2029line five\x0cpage two",
    *("\ud800", "\udfff tail", "lone \ud83d surrogate", "reversed \ude00\ud83d pair", "\ufffd"),
    *("[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]", "[cls]", "a [SEP] b", "[ SEP ]", "[MASK]ed"),
    *("a", "I", "é", "e\u0301", "中", "?", "...", "!!!", "0", "007", "-", "##", "##ing", "ok"),
    *("dog", "king", "Thank you!", "What?", "yes no", "NO!", "can't won't it's", "l'été d'hier"),
    *("😀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇯🇵🇧🇷", "👍🏿", "\ufe0f", "\u20e3", "1\ufe0f\u20e3"),
    "Z\u0338\u0349a\u0301\u0323l\u0336\u0330g\u0334\u0331o\u0337 text with stacked marks",
    "o\u0302\u0323 \u1ed9 \u212b A\u030a \u00c5 \u1e9b\u0323 \ufb03 composed or not",
    "\u0130 i\u0307 \u0131 \u017f \u1e9e ss ß",
    "\u202bright-to-left mark\u202c then \u202eoverride\u202c and \u2066isolate\u2069",
    "\u05d0\u05d1 abc \u05d2\u05d3 123 \u0627\u0644 def \u0661\u0662\u0663",
    "𒀀𒀁 ᚠᚢᚦ 𓀀𓀁 ꙮ ሀለሐ ཀཁག ကခဂ ᏣᎳᎩ ꦗꦮ",
    "\ue000\uf8ff \U000f0000 \U0010ffff \U000e0041 private and tag characters",
    "㐀㐁 𠀀𠀁 豈更 々〆 ﾊﾝｶｸ ㍿ ㋀ Ⅻ ⑳",
    *("a" * 100, "a" * 101, "x" * 5000),
    "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen",
    "antidisestablishmentarianism floccinaucinihilipilification honorificabilitudinitatibus",
    "https://example.org/" + "very/long/path/" * 20 + "?q=" + "0123456789abcdef" * 8,
    "qzxv wjkp bvnm xcvb ytre poiu lkjh gfds mnbv zaqw sxcd efvr tgbn hyuj mkil",
    "the " * 40 + "the",
    "no " * 300,
    ", ; : . ! ? - ( ) [ ] { } \" ' / \\ | @ # $ % ^ & * _ + = ~ ` < >",
    "." * 700,
    "ALL CAPITALS: STOCKS FALL SHARPLY AS CENTRAL BANK RAISES RATES",
    "tHiS iS wRiTtEn By A bOrEd CaT",
    "   leading and trailing blanks   ",
    "wide    gaps\t\tand\ttabs",
    "1 22 333 4444 55555 666666 7777777 88888888 999999999 0000000000",
)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load a folder's tokenizer.json, without any padding or truncation stored in it."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def all_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return a text's ids with [CLS] and [SEP], not truncated; lone surrogates are U+FFFD."""
    ids: list[int] = tokenizer.encode(re.sub("[\ud800-\udfff]", "\ufffd", text)).ids
    return ids


def truncated_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the ids that the model sees."""
    ids = all_ids(tokenizer, text)
    return ids if len(ids) <= LIMIT else [*ids[: LIMIT - 1], ids[-1]]


def stream(mixture: tuple[str, ...], start: int) -> Iterator[str]:
    """Yield a mixture's sentences for ever, from number `start` on; its groups take turns."""
    for turn in count(start):
        group = SENTENCES[mixture[turn % len(mixture)]]
        yield group[turn // len(mixture) % len(group)]


def text_of(tokenizer: Tokenizer, tokens: int, mixture: tuple[str, ...], start: int) -> str:
    """Recombine sentences into a text of exactly so many tokens, special tokens included."""
    source = ""
    for sentence in stream(mixture, start):
        source += sentence + " "
        if len(all_ids(tokenizer, source)) > tokens:
            break
    encoding = tokenizer.encode(source, add_special_tokens=False)
    cut = tokens - 2
    while encoding.tokens[cut].startswith("##"):  # not inside a word
        cut -= 1
    kept = [source[: encoding.offsets[cut - 1][1]]] if cut else []
    fillers = [FILLERS[(start + i) % len(FILLERS)] for i in range(tokens - 2 - cut)]
    text = " ".join(kept + fillers)
    found = len(all_ids(tokenizer, text))
    if found != tokens:
        raise AssertionError(f"wanted {tokens} tokens, got {found}: {text!r}")
    return text


def wanted_counts() -> list[int]:
    """List the token counts that must occur, special tokens included."""
    small = range(2, 65)
    middle = [n + d for n in (72, 80, 84, 96, 108, 112, 120) for d in (-1, 0, 1)]
    switches = sorted({*range(128, LIMIT + 1, 32), *range(144, LIMIT + 1, 48)})
    around = [n + d for n in switches for d in (-1, 0, 1)]
    residues = [16 * k + r for r in range(16) for k in (5 + r % 6, 16 + 7 * r % 15)]
    return [*small, *middle, *around, *residues, 640, 1500]


def golden_texts(tokenizer: Tokenizer) -> list[str]:
    """Build all texts, in the order in which README.md describes them."""
    sized = [
        text_of(tokenizer, tokens, MIXTURES[i % len(MIXTURES)], start=i)
        for i, tokens in enumerate(wanted_counts())
    ]
    single = [sentence for group in SENTENCES.values() for sentence in group]
    whole_groups = ["\n".join(group) for group in SENTENCES.values()]
    texts = [*sized, *single, *whole_groups, *ODD_TEXTS]
    return list(dict.fromkeys(texts))  # each once


def json_line(text: str) -> str:
    """Encode as JSON; lines with surrogates, invisible marks or odd line breaks all escaped."""
    plain = all(char.isprintable() or char in "\t\n\u200c\u200d" for char in text)
    return json.dumps(text, ensure_ascii=not plain) + "\n"


def main() -> None:
    """Write texts.jsonl and check what README.md says of it."""
    tokenizer = load_tokenizer(BUNDLE)
    texts = golden_texts(tokenizer)
    counts = [len(truncated_ids(tokenizer, text)) for text in texts]
    if missing := set(range(2, 65)) - set(counts):
        raise AssertionError(f"no text of {sorted(missing)} tokens")
    if missing := set(range(16)) - {n % 16 for n in counts if 256 <= n < LIMIT}:
        raise AssertionError(f"no long text whose count is {sorted(missing)} modulo 16")
    (FOLDER / "texts.jsonl").write_bytes("".join(map(json_line, texts)).encode())
    print(f"{len(texts)} texts of {min(counts)} to {max(counts)} tokens, {sum(counts)} in all")


if __name__ == "__main__":
    main()
