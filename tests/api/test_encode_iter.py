"""encode_iter: any number of texts, in blocks, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bge_micro import SentenceTransformer


class Source:
    """An endless stream of texts that counts how many were read."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        while True:
            self.taken += 1
            yield f"text {self.taken}"


def test_blocks_come_in_order(model: SentenceTransformer, sentences: list[str]) -> None:
    blocks = list(model.encode_iter(iter(sentences), batch_size=4))
    assert [len(block) for block in blocks] == [4, 4, 2]
    assert np.concatenate(blocks).tobytes() == model.encode(sentences).tobytes()


def test_options_are_those_of_encode(model: SentenceTransformer, sentences: list[str]) -> None:
    options: dict[str, Any] = {"precision": "int8", "truncate_dim": 9, "prompt": "so: "}
    (block,) = model.encode_iter(sentences, **options)
    assert block.tobytes() == model.encode(sentences, **options).tobytes()


def test_no_more_is_taken_than_a_block_needs(model: SentenceTransformer) -> None:
    source = Source()
    blocks = model.encode_iter(source, batch_size=3)
    assert source.taken == 0, "texts were taken before anyone asked for a block"
    for number in (1, 2, 3):
        assert next(blocks).shape == (3, 384)
        assert source.taken == 3 * number


def test_no_texts_give_no_blocks(model: SentenceTransformer) -> None:
    assert list(model.encode_iter([])) == []


def test_a_bad_row_spoils_its_own_block_only(model: SentenceTransformer) -> None:
    blocks = model.encode_iter(["a", "b", "c", None], batch_size=2)  # type: ignore[list-item]
    assert next(blocks).shape == (2, 384)
    with pytest.raises(ValueError, match="row 3 is None"):  # counted from the first text of all
        next(blocks)
    kept = list(model.encode_iter(["a", None], errors="skip"))  # type: ignore[list-item]
    assert [block.shape for block in kept] == [(1, 384)]


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        ("a text", {}, TypeError, "str"),
        (["a"], {"out": np.empty((1, 384), np.float32)}, ValueError, "out"),
        (["a"], {"batch_size": 0}, ValueError, "batch_size"),
        (["a"], {"batch_size": 1.5}, TypeError, "batch_size"),
    ],
)
def test_mistakes_show_at_the_call(
    model: SentenceTransformer,
    inputs: Any,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        model.encode_iter(inputs, **options)  # at once, not when the first block is read
