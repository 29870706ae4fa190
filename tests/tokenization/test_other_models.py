"""Tokenizers that keep blanks in their tokens, as RoBERTa's and XLM-RoBERTa's do."""

from __future__ import annotations

import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors, trainers

from bge_micro.tokenization import Tokenizer

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
PREFIXES = ["", "query: ", "query:"]
TEXTS = ["a query", " a query", "  query a", "\tquery", "\n a", " ", "", "query: a"]


def byte_level() -> tokenizers.Tokenizer:
    """Train a small tokenizer of RoBERTa's kind."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["query: a query", "  a query of the text"] * 9, trainer)
    return tokenizer


def unigram() -> tokenizers.Tokenizer:
    """Return a small tokenizer of XLM-RoBERTa's kind."""
    pieces = [*SPECIALS, "▁", "▁query", "▁a", "query", ":", "a", "▁▁", *"quer"]
    scores = [(piece, -float(len(pieces) - i)) for i, piece in enumerate(pieces)]
    tokenizer = tokenizers.Tokenizer(models.Unigram(scores, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


@pytest.fixture(params=[byte_level, unigram])
def inner(request: pytest.FixtureRequest) -> tokenizers.Tokenizer:
    tokenizer: tokenizers.Tokenizer = request.param()
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_before_texts_that_begin_with_blanks(
    inner: tokenizers.Tokenizer, prefix: str
) -> None:
    expected = [inner.encode(prefix + text).ids for text in TEXTS]
    ours = Tokenizer.from_json(inner.to_str(), source="test")
    batch = ours.ragged(TEXTS, 512, prefix=prefix)
    found = [
        batch.ids[start:end].tolist()
        for start, end in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
    ]
    assert found == expected


def test_the_largest_id(inner: tokenizers.Tokenizer) -> None:
    largest = max(inner.get_vocab(with_added_tokens=True).values())
    assert Tokenizer.from_json(inner.to_str(), source="test").max_id == largest
    inner.add_tokens(["quite new"])
    assert Tokenizer.from_json(inner.to_str(), source="test").max_id == largest + 1
