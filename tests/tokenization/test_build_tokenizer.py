"""Vocabulary files and the tokenizers made from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bge_micro.tokenization import Tokenizer, build_wordpiece_tokenizer, read_vocab

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCAB = ["unused", *SPECIALS, "Hello", "hello", "world", "##s", "é", "e", "日", "日本", "."]


def tokens(text: str, **options: bool | None) -> list[str]:
    tokenizer = build_wordpiece_tokenizer(VOCAB, **options)  # type: ignore[arg-type]
    return list(tokenizer.encode(text).tokens)


def test_the_options_reach_the_normalizer() -> None:
    assert tokens("Hello É 日本") == ["[CLS]", "hello", "e", "日", "[UNK]", "[SEP]"]
    assert tokens("Hello é", lowercase=False) == ["[CLS]", "Hello", "é", "[SEP]"]
    assert tokens("Hello É", strip_accents=False) == ["[CLS]", "hello", "é", "[SEP]"]
    assert tokens("日本", handle_chinese_chars=False) == ["[CLS]", "日本", "[SEP]"]


def test_nothing_is_stored_about_padding_and_truncation() -> None:
    stored = json.loads(build_wordpiece_tokenizer(VOCAB).to_str())
    assert stored["padding"] is None
    assert stored["truncation"] is None


def test_special_tokens_have_the_ids_of_the_vocabulary() -> None:
    stored = json.loads(build_wordpiece_tokenizer(VOCAB).to_str())
    assert {token["content"]: token["id"] for token in stored["added_tokens"]} == {
        token: VOCAB.index(token) for token in SPECIALS
    }
    assert all(token["special"] and not token["normalized"] for token in stored["added_tokens"])
    assert tokens("world[MASK]worlds.") == [
        "[CLS]", "world", "[MASK]", "world", "##s", ".", "[SEP]"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [{}, {"lowercase": False}, {"strip_accents": False}, {"handle_chinese_chars": False}],
)
def test_it_is_what_transformers_makes(
    tmp_path: Path, tokenizer_json: str, options: dict[str, bool]
) -> None:
    transformers = pytest.importorskip("transformers")
    vocab = list(json.loads(tokenizer_json)["model"]["vocab"])
    (tmp_path / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    theirs = {"lowercase": "do_lower_case", "handle_chinese_chars": "tokenize_chinese_chars"}
    reference = transformers.BertTokenizerFast.from_pretrained(
        tmp_path, **{theirs.get(name, name): value for name, value in options.items()}
    )
    ours = build_wordpiece_tokenizer(vocab, **options)
    assert json.loads(ours.to_str()) == json.loads(reference.backend_tokenizer.to_str())


def test_the_vocabulary_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("\r\n".join([*SPECIALS, "a", "\u2028", "\x85b", ""]).encode())
    assert read_vocab(path) == [*SPECIALS, "a", "\u2028", "\x85b"]
    path.write_bytes("\n".join([*SPECIALS, "last"]).encode())
    assert read_vocab(str(path)) == [*SPECIALS, "last"]
    path.write_bytes("\n".join([*SPECIALS, "last", "", "", ""]).encode())
    assert read_vocab(path) == [*SPECIALS, "last"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([*SPECIALS, "a", "b", "a"], "lines 6 and 8 both hold 'a'; expected every token once"),
        ([*SPECIALS, "", "b"], "line 6 is empty; expected one token a line"),
        (["[PAD]", "[UNK]", "a"], r"\[CLS\], \[SEP\], \[MASK\] missing among 3 tokens"),
        ([], "line 1 is empty"),
    ],
)
def test_a_bad_vocabulary_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"vocab\.txt: {message}"):
        read_vocab(path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"\xff\x00\x80")
    with pytest.raises(ValueError, match=r"vocab\.txt: not a vocabulary: .*expected UTF-8"):
        read_vocab(path)


def test_a_bad_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="vocabulary: lines 1 and 7 both hold 'unused'"):
        build_wordpiece_tokenizer([*VOCAB[:6], "unused"])


def test_the_largest_id_counts_special_tokens_too() -> None:
    vocab = ["a", *SPECIALS]
    assert Tokenizer.from_json(build_wordpiece_tokenizer(vocab).to_str(), source="test").max_id == 5
    inner = build_wordpiece_tokenizer(vocab)
    inner.add_tokens(["new"])
    assert Tokenizer.from_json(inner.to_str(), source="test").max_id == 6
