"""Plain English texts that come with every Python: the sentences of its language reference."""

from __future__ import annotations

import re
from pydoc_data.topics import topics


def sentences(fewest_words: int, most_words: int, count: int) -> list[str]:
    """Return `count` distinct sentences of so many words, in a fixed order."""
    text = " ".join(topics[name] for name in sorted(topics))
    text = re.sub(r"[*`\"|=~^_\\]+|\s+", " ", text)
    found = dict.fromkeys(
        sentence.strip()
        for sentence in re.split(r"(?<=[a-z][.!?]) +(?=[A-Z])", text)
        if fewest_words <= len(sentence.split()) <= most_words
    )
    if len(found) < count:
        raise ValueError(f"only {len(found)} sentences of {fewest_words} to {most_words} words")
    return list(found)[:count]
