"""The texts that the bundled model is calibrated by: written for this project, and recombined.

Sentences alone, sentences with words from all over the vocabulary in place of some of their own,
and passages of up to sixteen of either. So inputs are like real ones in grammar, length and script,
and thousands of different tokens are seen.
"""

from __future__ import annotations

import random
from pathlib import Path

SENTENCES = Path(__file__).with_name("sentences.txt").read_text("utf-8").splitlines()

# Texts of a token or two, in which nothing evens out what rounding does to it.
ODD = ("[PAD]", "[UNK]", "[MASK]", "[SEP]", ".", "...", "!", "?", "-", "a", "I", "1")

_VARIANTS, _ODD_TIMES, _PASSAGES = 3, 20, 240
_LONGEST_PASSAGE = 16  # sentences


def calibration_texts(words: list[str]) -> list[str]:
    """Return the texts, the same for the same words on every machine.

    Args:
        words: Words of the model's vocabulary.
    """
    rng = random.Random(20231109)

    def below(bound: int) -> int:
        # random() is the one method whose results Python promises never to change.
        return int(rng.random() * bound)

    def varied(sentence: str) -> str:
        """Put another word in the place of every third one or so."""
        parts = sentence.split(" ")
        return " ".join(part if below(3) else words[below(len(words))] for part in parts)

    singles = [
        *SENTENCES,
        *(varied(s) for _ in range(_VARIANTS) for s in SENTENCES),
        *ODD * _ODD_TIMES,
    ]
    passages = [
        " ".join(singles[below(len(singles))] for _ in range(2 + below(_LONGEST_PASSAGE - 1)))
        for _ in range(_PASSAGES)
    ]
    # Passages and single sentences take turns, so that any part of the texts has both.
    every = len(singles) // _PASSAGES
    texts: list[str] = []
    for number, passage in enumerate(passages):
        texts += [*singles[number * every : (number + 1) * every], passage]
    return texts
