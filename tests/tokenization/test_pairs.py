"""Pairs of texts: ids, types and truncation are those of Hugging Face's tokenizer."""

from __future__ import annotations

import numpy as np
import pytest
import tokenizers
from tokenizers import processors

from bge_micro.tokenization import Tokenizer, build_wordpiece_tokenizer
from bge_micro.tokenization.pairs import PairTokenizer, longest_first

WORDS = [f"w{n}" for n in range(30)]
TEXTS = [
    "",
    "w1",
    "w2 w3 w4",
    "unheard w5",
    " ".join(WORDS),
    " ".join(WORDS * 3),
    "[SEP] w1 \udfff",
]
# Longer than what is read of a text at first. (Theirs takes time by the square of the length.)
HUGE = "w1 w2, " * 60


def build(template: str = "bert") -> tokenizers.Tokenizer:
    """Return a tokenizer with the template of a family."""
    tokenizer = build_wordpiece_tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    if template == "roberta":
        tokenizer.post_processor = processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


@pytest.mark.parametrize("template", ["bert", "roberta"])
@pytest.mark.parametrize("limit", [*range(6, 12), 33, 34, 400])
def test_as_hugging_face(template: str, limit: int) -> None:
    theirs = build(template)
    theirs.enable_truncation(limit, strategy="longest_first")
    ours = PairTokenizer(
        Tokenizer.from_json(build(template).to_str(), source="here"), source="here"
    )
    pairs = [(first, second) for first in TEXTS for second in TEXTS]
    batch = ours.ragged(pairs, limit)
    assert batch.types is not None
    whole = build(template)
    for row, (first, second) in enumerate(pairs):
        clean = first.replace("\udfff", "\ufffd"), second.replace("\udfff", "\ufffd")
        encoding = theirs.encode(*clean)
        part = slice(batch.offsets[row], batch.offsets[row + 1])
        assert batch.ids[part].tolist() == encoding.ids
        assert batch.types[part].tolist() == encoding.type_ids
        assert batch.truncated[row] == (len(whole.encode(*clean).ids) > limit)


@pytest.mark.parametrize("limit", [16, 17])
def test_huge_texts(limit: int) -> None:
    """The texts are not read to their ends, but which is longer decides about the last token."""
    theirs = build()
    theirs.enable_truncation(limit, strategy="longest_first")
    ours = PairTokenizer(Tokenizer.from_json(build().to_str(), source="here"), source="here")
    pairs = [(HUGE, HUGE + "w3"), (HUGE + "w3", HUGE), (HUGE, "w1"), ("w1", HUGE), (HUGE, HUGE)]
    batch = ours.ragged(pairs, limit)
    expected = [theirs.encode(*pair).ids for pair in pairs]
    parts = np.split(batch.ids, batch.offsets[1:-1])
    assert [part.tolist() for part in parts] == expected


def test_longest_first_is_that_of_tokenizers() -> None:
    tokenizer = build()
    for room in range(2, 9):
        tokenizer.enable_truncation(room + 3, strategy="longest_first")
        for first in range(12):
            for second in range(12):
                encoding = tokenizer.encode("w1 " * first, "w2 " * second)
                kept = encoding.ids.count(6), encoding.ids.count(7)
                assert longest_first(first, second, room) == kept, (first, second, room)


def test_no_room() -> None:
    ours = PairTokenizer(Tokenizer.from_json(build().to_str(), source="here"), source="here")
    with pytest.raises(ValueError, match="limit is 4; expected at least 5"):
        ours.ragged([("w1", "w2")], 4)


def test_templates_that_are_refused() -> None:
    swapped = build()
    swapped.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $B [SEP] $A [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    with pytest.raises(ValueError, match=r"tokenizer\.json: the letter 'a' gives ids"):
        PairTokenizer(Tokenizer.from_json(swapped.to_str(), source="x"), source="tokenizer.json")
