"""Ids and truncation equal Hugging Face's for every text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenization_cases import Reference, texts

from bge_micro.tokenization import RaggedBatch, Tokenizer
from properties import examples

EVERYTHING = 1 << 30


def rows(batch: RaggedBatch) -> list[list[int]]:
    return [
        batch.ids[start:stop].tolist()
        for start, stop in zip(batch.offsets, batch.offsets[1:], strict=False)
    ]


@examples(300)
@given(batch=st.lists(texts, max_size=4), limit=st.sampled_from([2, 3, 4, 5, 8, 16, 64, 512]))
def test_ids_and_flags_equal_the_reference(
    tokenizer: Tokenizer, reference: Reference, batch: list[str], limit: int
) -> None:
    ragged = tokenizer.ragged(batch, limit)
    assert rows(ragged) == [reference(text, limit) for text in batch]
    full = [len(reference(text, EVERYTHING)) for text in batch]
    assert ragged.truncated.tolist() == [count > limit for count in full]
    assert [tokenizer.token_count(text) for text in batch] == full


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t\n\r",
        "\x00",
        "\x00\x00 \x00",
        "a\x00b",
        "a\x0bb\x0cc\x85d",
        "see [SEP] and [MASK][CLS], [sep]",
        "[S\x00EP]",
        "x" * 100,
        "x" * 101,
        "漢字かな交じり文 豈",
        "e\u0301 é \u0301 Ā\u0338",
        "a\ud800b \udfff \ud83d\ude00",
        "\ufeffword\u200b\u00adword",
    ],
)
def test_named_cases_equal_the_reference(
    tokenizer: Tokenizer, reference: Reference, text: str
) -> None:
    assert rows(tokenizer.ragged([text], 512)) == [reference(text, 512)]


def test_known_ids(tokenizer: Tokenizer) -> None:
    # [CLS] una ##ffa ##ble ! [SEP], as in BERT's paper code
    assert rows(tokenizer.ragged(["Unaffable!"], 512)) == [[101, 14477, 20961, 3468, 999, 102]]


def test_a_lone_surrogate_is_the_replacement_character(tokenizer: Tokenizer) -> None:
    batch = tokenizer.ragged(["one\ud800two three", "one\ufffdtwo three", "plain"], 512)
    first, second, third = rows(batch)
    assert first == second
    assert third == rows(tokenizer.ragged(["plain"], 512))[0]


def test_a_text_gives_the_same_ids_alone_and_in_long_lists(tokenizer: Tokenizer) -> None:
    batch = [f"Sentence number {i}, with some words. " * (1 + i % 40) for i in range(800)]
    together = tokenizer.ragged(batch, 128)
    assert rows(together) == [rows(tokenizer.ragged([text], 128))[0] for text in batch]
    assert together.truncated.any()
    assert not together.truncated.all()


def test_shapes_and_types(tokenizer: Tokenizer) -> None:
    batch = tokenizer.ragged(("one", "", "two three"), 512)
    assert [batch.ids.dtype, batch.offsets.dtype] == ["int32", "int64"]
    assert batch.truncated.dtype == "bool"
    assert batch.offsets.tolist() == [0, 3, 5, 9]
    assert batch.counts.tolist() == [3, 2, 4]


def test_an_empty_list_gives_an_empty_batch(tokenizer: Tokenizer) -> None:
    batch = tokenizer.ragged([], 512)
    assert batch.ids.shape == (0,)
    assert batch.offsets.tolist() == [0]
    assert batch.truncated.shape == batch.counts.shape == (0,)
    assert [batch.ids.dtype, batch.truncated.dtype] == ["int32", "bool"]


def test_numpy_strings_are_strings(tokenizer: Tokenizer) -> None:
    array = np.array(["hello world", "x"])
    assert rows(tokenizer.ragged(list(array), 512)) == rows(
        tokenizer.ragged(["hello world", "x"], 512)
    )


def test_a_limit_below_the_special_tokens_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="limit is 1; expected at least 2"):
        tokenizer.ragged(["text"], 1)
    only_specials = tokenizer.ragged(["text", " "], 2)
    assert rows(only_specials) == [[101, 102], [101, 102]]
    assert only_specials.truncated.tolist() == [True, False]


def test_something_else_than_a_string_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(TypeError):
        tokenizer.ragged(["text", b"bytes"], 512)  # type: ignore[list-item]


def test_stored_padding_and_truncation_are_ignored(
    tokenizer_json: str, tokenizer: Tokenizer
) -> None:
    inner = tokenizers.Tokenizer.from_str(tokenizer_json)
    inner.enable_padding(length=512)
    inner.enable_truncation(4, direction="left")
    stored = Tokenizer.from_json(inner.to_str(), source="stored")
    batch = ["a few words more than four", "one"]
    assert rows(stored.ragged(batch, 6)) == rows(tokenizer.ragged(batch, 6))
    assert rows(stored.ragged(batch, 512)) == rows(tokenizer.ragged(batch, 512))


def _with_template(tokenizer_json: str, single: str) -> str:
    inner = tokenizers.Tokenizer.from_str(tokenizer_json)
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single=single, special_tokens=[("[CLS]", 101), ("[SEP]", 102), ("[MASK]", 103)]
    )
    return str(inner.to_str())


@pytest.mark.parametrize(
    "single", ["$A", "$A [SEP]", "[CLS] $A", "[CLS] [MASK] $A [SEP] [SEP]", "[CLS] $A [MASK] [SEP]"]
)
def test_any_special_tokens_before_and_after(tokenizer_json: str, single: str) -> None:
    changed = _with_template(tokenizer_json, single)
    inner = tokenizers.Tokenizer.from_str(changed)
    inner.enable_truncation(8)
    batch = ["", "one", "more words than there is room for in eight tokens", "word " * 500]
    expected = [encoding.ids for encoding in inner.encode_batch(batch)]
    assert rows(Tokenizer.from_json(changed, source="changed").ragged(batch, 8)) == expected


@pytest.mark.parametrize("single", ["[CLS]:0 $A:1 [SEP]:0", "$A:1", "[CLS] [SEP]"])
def test_other_templates_are_refused(tokenizer_json: str, single: str) -> None:
    changed = _with_template(tokenizer_json, single)
    with pytest.raises(ValueError, match=r"m/tokenizer\.json: the letter 'a' gives ids \["):
        Tokenizer.from_json(changed, source="m/tokenizer.json")


def test_max_id(tokenizer: Tokenizer) -> None:
    assert tokenizer.max_id == 30521


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"version": "1.0"', b"[1, 2]"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"tokenizer\.json: not a readable tokenizer\.json: "):
        Tokenizer.from_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.json"):
        Tokenizer.from_file(tmp_path / "absent.json")


def test_a_vocabulary_without_the_unknown_token_is_refused(tokenizer_json: str) -> None:
    content = json.loads(tokenizer_json)
    content["model"]["unk_token"] = "<unk>"
    with pytest.raises(ValueError, match="here: the unknown token '<unk>' is not in the vocab"):
        Tokenizer.from_json(json.dumps(content), source="here")


def test_a_template_with_an_undefined_token_is_refused(tokenizer_json: str) -> None:
    content = json.loads(tokenizer_json)
    del content["post_processor"]["special_tokens"]["[SEP]"]
    with pytest.raises(ValueError, match="here: the tokenizer cannot encode a text"):
        Tokenizer.from_json(json.dumps(content), source="here")
