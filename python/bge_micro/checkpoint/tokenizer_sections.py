"""Read the sections of a tokenizer.json, all but its vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.json_file import MAX_TOKENIZER_BYTES, parse_json, read_bounded
from bge_micro.checkpoint.tokenizer_classes import SQUARE_TOKENS

TOKENIZER_NAME = "tokenizer.json"

# What the parts of a tokenizer.json that is a sequence of others are called.
_SEQUENCES = ("normalizers", "pretokenizers", "processors")
_HEAD = {"added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model"}


# The tokenizer that is made from a vocab.txt.
OF_VOCAB: dict[str, Any] = {
    "added_tokens": [{"content": token} for token in SQUARE_TOKENS.values()],
    "normalizer": {"type": "BertNormalizer"},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 0], "cls": ["[CLS]", 0]},
    "model": {"type": "WordPiece", "unk_token": "[UNK]"},
}


def read_head(file: Path) -> dict[str, Any]:
    """Read a tokenizer.json without its vocabulary, which may have 250,000 tokens.

    Args:
        file: tokenizer.json; a vocab.txt gives what the tokenizer made from it has.

    Returns:
        The sections, with all fields of `model` that are before the vocabulary.

    Raises:
        CheckpointError: The file is damaged.
    """
    if file.name != TOKENIZER_NAME:
        return OF_VOCAB
    data = read_bounded(file, MAX_TOKENIZER_BYTES)
    # The vocabulary comes last, as `tokenizers` writes files.
    start = data[: data.find(b'"vocab"')].rstrip().removesuffix(b",")
    try:
        head = parse_json(start + b"}}", str(file))
    except CheckpointError:
        head = {}
    if not isinstance(head, dict) or not head.keys() >= _HEAD or [*head][-1] != "model":
        head = parse_json(data, str(file))
    if not isinstance(head, dict):
        raise CheckpointError(f"{file}: not a tokenizer.json: it holds no object.")
    return head


def parts_of(section: Any) -> Iterator[dict[str, Any]]:
    """Yield the parts of a section, or the section itself if it has none."""
    if not isinstance(section, dict):
        return
    for name in _SEQUENCES:
        if isinstance(section.get(name), list):
            for part in section[name]:
                yield from parts_of(part)
            return
    yield section


def ends_of(post_processor: Any) -> list[str | None]:
    """Return the tokens that a post processor puts before and after a text."""
    for part in parts_of(post_processor):
        if part.get("type") == "TemplateProcessing":
            return _template_ends(part.get("single"))
        if part.get("type") in ("BertProcessing", "RobertaProcessing"):
            pairs = (part.get("cls"), part.get("sep"))
            return [str(pair[0]) if isinstance(pair, list) and pair else None for pair in pairs]
    return [None, None]


def _template_ends(single: Any) -> list[str | None]:
    before: list[str] = []
    after: list[str] = []
    side = before
    for item in single if isinstance(single, list) else []:
        if isinstance(item, dict) and isinstance(item.get("SpecialToken"), dict):
            side.append(str(item["SpecialToken"].get("id")))
        else:
            side = after
    return [" ".join(before) or None, " ".join(after) or None]
