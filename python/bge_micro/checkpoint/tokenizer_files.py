"""Which tokenizer a model folder has, how long its texts may be, and whether case counts.

Up to three files set case and accents. transformers' tokenizer for BERT uses those of
tokenizer_config.json, or BERT uncased's if it has none, and ignores tokenizer.json's. If
sentence_bert_config.json says so, sentence-transformers also lowercases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from bge_micro.checkpoint.errors import CheckpointError, MissingFileError
from bge_micro.checkpoint.json_file import read_json_object
from bge_micro.checkpoint.modules import TransformerSettings
from bge_micro.checkpoint.tokenizer_agreement import CONFIG_NAME, check_agreement
from bge_micro.checkpoint.tokenizer_classes import BERT_CLASSES, is_of_bert
from bge_micro.checkpoint.tokenizer_sections import TOKENIZER_NAME, read_head

VOCAB_NAME = "vocab.txt"

Normalizer = dict[str, Any]

# A tokenizer made from vocab.txt alone, without other settings: BERT uncased.
_UNCASED: Normalizer = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}

# tokenizer_config.json's name for a setting of the normalizer, and its values besides bool.
_SETTINGS = {
    "lowercase": ("do_lower_case", ()),
    "strip_accents": ("strip_accents", (None,)),
    "handle_chinese_chars": ("tokenize_chinese_chars", ()),
}

# Tokenizers that are code of their own: they split texts by a dictionary before WordPiece.
_NOT_IN_FILES = ("BertJapaneseTokenizer",)


class TokenizerFacts(NamedTuple):
    """A folder's tokenizer.

    Attributes:
        file: tokenizer.json, or vocab.txt if the folder has only that.
        limit: Tokens of a text that are used, special tokens included.
        normalizer: A normalizer that replaces the tokenizer's, in tokenizer.json's form; None to
            keep the tokenizer's.
    """

    file: Path
    limit: int
    normalizer: Normalizer | None


def read_tokenizer_facts(
    transformer: Path, settings: TransformerSettings, positions: int, tokenizer_class: str
) -> TokenizerFacts:
    """Read a folder's tokenizer settings.

    Args:
        transformer: The folder of the tokenizer.
        settings: Those of sentence_bert_config.json.
        positions: The most tokens that the model takes.
        tokenizer_class: transformers' tokenizer for this model if no file names one.

    Returns:
        The tokenizer's file, limit and normalizer.

    Raises:
        MissingFileError: There is no tokenizer.
        CheckpointError: A file is damaged, or has a setting that is not supported.
    """
    path = transformer / CONFIG_NAME
    fields = read_json_object(path) if path.exists() else None
    if settings.tokenizer:
        fields = {**(fields or {}), **settings.tokenizer}
    limit = settings.max_seq_length
    if limit is None:
        limit = (fields or {}).get("model_max_length")
        # transformers writes "no limit" as int(1e30) or 1e30.
        if not isinstance(limit, (int, float)) or not 3 <= limit <= positions:
            limit = positions
    file = _tokenizer_file(transformer)
    if fields is None and file.name == VOCAB_NAME:
        fields = {}
    if fields is not None:
        named = fields.get("tokenizer_class") or _class_in_config(transformer / "config.json")
        fields["tokenizer_class"] = named or tokenizer_class
        _check_side(path, fields)
    normalizer = _normalizer(file, settings, fields)
    check_agreement(file, fields or {})
    return TokenizerFacts(file, int(min(limit, positions)), normalizer)


def _class_in_config(path: Path) -> Any:
    """Return the tokenizer class that config.json names, as those of multilingual-e5 do."""
    return read_json_object(path).get("tokenizer_class") if path.exists() else None


def _tokenizer_file(transformer: Path) -> Path:
    for name in (TOKENIZER_NAME, VOCAB_NAME):
        if (transformer / name).is_file():
            return transformer / name
    raise MissingFileError(
        f"{transformer}: neither {TOKENIZER_NAME} nor {VOCAB_NAME} is there; "
        "the model folder is incomplete."
    )


def _normalizer(
    file: Path, settings: TransformerSettings, fields: dict[str, Any] | None
) -> Normalizer | None:
    """Return the normalizer that replaces the tokenizer's; None if both are equal."""
    name = None if fields is None else fields["tokenizer_class"]
    of_bert = is_of_bert(name)
    if name is not None and (name in _NOT_IN_FILES or (file.name == VOCAB_NAME and not of_bert)):
        raise CheckpointError(
            f"{file.with_name(CONFIG_NAME)}: tokenizer_class is {name!r}, whose tokens {file.name} "
            f"alone does not give; with {VOCAB_NAME} expected one of {', '.join(BERT_CLASSES)}, "
            f"or a {TOKENIZER_NAME} that transformers has saved for that class."
        )
    if file.name == VOCAB_NAME:
        stored: Any = _UNCASED
    elif of_bert or settings.do_lower_case:
        stored = read_head(file).get("normalizer")
    else:
        return None
    wanted = stored
    if isinstance(stored, dict) and stored.get("type") == _UNCASED["type"]:
        stored = _UNCASED | stored
        wanted = dict(stored)
        if fields is not None and (of_bert or file.name == VOCAB_NAME):
            wanted |= _configured(file.with_name(CONFIG_NAME), fields)
        if settings.do_lower_case and not wanted["lowercase"]:
            # If accents were not stripped before, they are not stripped now.
            wanted |= {"lowercase": True, "strip_accents": wanted["strip_accents"] is True}
    elif settings.do_lower_case and not _lowercases(stored):
        raise CheckpointError(
            f"{file.with_name('sentence_bert_config.json')}: do_lower_case is true, but "
            f"{file.name} keeps upper case; set lowercase in its normalizer instead."
        )
    return None if wanted == stored else wanted


def _configured(path: Path, fields: dict[str, Any]) -> dict[str, bool | None]:
    """Return the normalizer's settings in tokenizer_config.json."""
    settings: dict[str, bool | None] = {}
    for setting, (name, others) in _SETTINGS.items():
        found = fields.get(name, _UNCASED[setting])
        if not isinstance(found, bool) and found not in others:
            expected = ", ".join(["true", "false", *("null" for _ in others)])
            raise CheckpointError(f"{path}: {name} is {found!r}, expected one of {expected}.")
        settings[setting] = found
    return settings


def _lowercases(normalizer: Any) -> bool:
    """Tell whether a normalizer, or a part of it, lowercases."""
    if not isinstance(normalizer, dict):
        return False
    if normalizer.get("type") == "Sequence":
        parts = normalizer.get("normalizers")
        return isinstance(parts, list) and any(map(_lowercases, parts))
    return normalizer.get("type") == "Lowercase" or normalizer.get("lowercase") is True


def _check_side(path: Path, fields: dict[str, Any]) -> None:
    """Refuse a tokenizer that drops the beginning of a long text."""
    if fields.get("truncation_side", "right") != "right":
        raise CheckpointError(
            f"{path}: truncation_side is {fields['truncation_side']!r}, only 'right' is supported."
        )
