"""A WordPiece tokenizer made from a vocabulary, equal to the one `transformers` makes for BERT."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tokenizers

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def read_vocab(path: str | PathLike[str]) -> list[str]:
    r"""Read a BERT vocab.txt: one token per line; its id is the line's number, from 0.

    Args:
        path: The file, UTF-8, with \n or \r\n line ends.

    Returns:
        The tokens, in the order of their ids.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not UTF-8, has an empty or repeated line, or lacks a special token.
    """
    try:
        content = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a vocabulary: {error}; expected UTF-8 text") from error
    # Not splitlines(): tokens may contain characters, such as U+2028, at which it would split.
    tokens = [line.removesuffix("\r") for line in content.split("\n")]
    while len(tokens) > 1 and not tokens[-1]:  # blank lines at the end
        del tokens[-1]
    _check_vocab(tokens, source=str(path))
    return tokens


def build_wordpiece_tokenizer(
    vocab: Sequence[str],
    *,
    lowercase: bool = True,
    strip_accents: bool | None = None,
    handle_chinese_chars: bool = True,
) -> tokenizers.Tokenizer:
    """Build BERT's tokenizer: BertNormalizer, BertPreTokenizer, WordPiece, `[CLS] text [SEP]`.

    It has no settings for padding or truncation.

    Args:
        vocab: The tokens, in the order of their ids.
        lowercase: Whether texts are lowercased.
        strip_accents: Whether accents are removed; None means the value of `lowercase`.
        handle_chinese_chars: Whether every ideograph is a word of its own.

    Raises:
        ValueError: A token is empty or repeated, or a special token is missing.
    """
    import tokenizers  # a model with a tokenizer.json needs none of it
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    _check_vocab(vocab, source="vocabulary")
    ids = {token: number for number, token in enumerate(vocab)}
    tokenizer = tokenizers.Tokenizer(
        models.WordPiece(
            ids, unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=100
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=handle_chinese_chars,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def _check_vocab(vocab: Sequence[str], *, source: str) -> None:
    lines: dict[str, int] = {}
    for line, token in enumerate(vocab, start=1):
        if not token:
            raise ValueError(f"{source}: line {line} is empty; expected one token a line")
        if token in lines:
            raise ValueError(
                f"{source}: lines {lines[token]} and {line} both hold {token!r}; "
                "expected every token once"
            )
        lines[token] = line
    missing = [token for token in SPECIAL_TOKENS if token not in lines]
    if missing:
        raise ValueError(
            f"{source}: {', '.join(missing)} missing among {len(vocab)} tokens; "
            "expected a BERT vocabulary"
        )
