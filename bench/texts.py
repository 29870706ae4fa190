"""Plain English text that every Python contains: its language reference and docstrings."""

from __future__ import annotations

import ast
import random
import re
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import cycle
from pathlib import Path
from pydoc_data.topics import topics

Count = Callable[[str], int]  # the tokens of a text


def queries(count: int) -> list[str]:
    """Return distinct short texts of about 15 tokens."""
    return _sentences_of(7, 12, count)


def sentences(count: int) -> list[str]:
    """Return distinct sentences of about 23 tokens."""
    return _sentences_of(9, 25, count)


def texts_of(lengths: Iterable[int], count_tokens: Count) -> list[str]:
    """Return a text for each length, with that many tokens or, if its last word has several, fewer.

    The words come from one stream, which starts again when it ends, so texts stay distinct.
    """
    words = cycle(_words())
    return [_take(words, length, count_tokens) for length in lengths]


def lognormal_lengths(count: int, seed: int = 0) -> list[int]:
    """Return lengths in tokens as in real collections: many short, few long, at most 512."""
    random_ = random.Random(seed)
    return [min(512, max(4, round(random_.lognormvariate(4, 0.9)))) for _ in range(count)]


def _take(words: Iterator[str], length: int, count_tokens: Count) -> str:
    taken: list[str] = []
    left = length - 2  # [CLS] and [SEP]
    for word in words:
        size = count_tokens(word) - 2
        if size > left:
            break
        taken.append(word)
        left -= size
        if left == 0:
            break
    return " ".join(taken)


def _sentences_of(fewest_words: int, most_words: int, count: int) -> list[str]:
    found = [text for text in _sentences() if _is_prose(text, fewest_words, most_words)]
    if len(found) < count:
        raise ValueError(f"only {len(found)} sentences of {fewest_words} to {most_words} words")
    # From all parts of the source, which differ in kind.
    return [found[row * len(found) // count] for row in range(count)]


def _is_prose(text: str, fewest_words: int, most_words: int) -> bool:
    """Tell a sentence from tables and code, whose "words" are long."""
    words = text.split()
    return fewest_words <= len(words) <= most_words and len(text) <= 8 * len(words)


@cache
def _sentences() -> list[str]:
    text = "\n\n".join([*(topics[name] for name in sorted(topics)), *_docstrings()])
    text = re.sub(r"[*`\"|=~^_\\]+|\s+", " ", text)
    parts = re.split(r"(?<=[a-z][.!?]) +(?=[A-Z])", text)
    return list(dict.fromkeys(part.strip() for part in parts))


@cache
def _words() -> list[str]:
    return [word for text in _sentences() for word in text.split() if len(word) <= 20]


def _docstrings() -> list[str]:
    """Return the docstrings of the standard library's modules, in a fixed order."""
    found = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                found.append(ast.get_docstring(node) or "")
    return found
