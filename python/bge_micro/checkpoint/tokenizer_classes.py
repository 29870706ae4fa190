"""The tokenizer classes of this engine's families, which transformers builds itself."""

from __future__ import annotations

from typing import Any, NamedTuple

ROLES = tuple(f"{name}_token" for name in ("cls", "sep", "unk", "pad", "mask", "bos", "eos"))


class Section(NamedTuple):
    """What a section of tokenizer.json must be.

    Attributes:
        types: The types of its parts; the first is needed. None are allowed if there is none.
        optional: Whether the section may be null.
        fields: What its fields are, where they are given.
    """

    types: tuple[str, ...]
    optional: bool = False
    fields: tuple[tuple[str, Any], ...] = ()


class TokenizerClass(NamedTuple):
    """A class of tokenizers that transformers builds itself.

    Attributes:
        sections: Sections of tokenizer.json by name.
        tokens: Its special tokens by role, unless a file names others.
        ends: The roles of the tokens before and after a text.
        prefix_space: What add_prefix_space is unless a file says so; None if there is no setting.
    """

    sections: dict[str, Section]
    tokens: dict[str, str]
    ends: tuple[str, str] = ("cls_token", "sep_token")
    prefix_space: bool | None = None


_WORDPIECE = {
    "model": Section(
        ("WordPiece",),
        fields=(("continuing_subword_prefix", "##"), ("max_input_chars_per_word", 100)),
    ),
    "pre_tokenizer": Section(("BertPreTokenizer",)),
    "normalizer": Section(("BertNormalizer",), fields=(("clean_text", True),)),
}
_BYTE_LEVEL = {
    "model": Section(("BPE",), fields=(("ignore_merges", False),)),
    "pre_tokenizer": Section(("ByteLevel",), fields=(("use_regex", True),)),
    "normalizer": Section((), optional=True),
}
# Replace and Strip only join and remove blanks here, as WhitespaceSplit does.
_PIECES = {
    "model": Section(("Unigram",), fields=(("byte_fallback", False),)),
    "pre_tokenizer": Section(
        ("Metaspace", "WhitespaceSplit"), fields=(("prepend_scheme", "always"),)
    ),
    "normalizer": Section(("Precompiled", "Replace", "Strip"), optional=True),
}
_XLM_PIECES = _PIECES | {
    "model": _PIECES["model"]._replace(fields=(("byte_fallback", False), ("unk_id", 3)))
}
SQUARE_TOKENS = {role: f"[{role.removesuffix('_token').upper()}]" for role in ROLES[:5]}
_ANGLE = {"cls_token": "<s>", "sep_token": "</s>", "bos_token": "<s>", "eos_token": "</s>"}
_ANGLE |= {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}

_BERT = TokenizerClass(_WORDPIECE, SQUARE_TOKENS)
_ROBERTA = TokenizerClass(_BYTE_LEVEL, _ANGLE, prefix_space=False)
_XLM_ROBERTA = TokenizerClass(
    _XLM_PIECES, _ANGLE, ends=("bos_token", "eos_token"), prefix_space=True
)
_HERBERT = TokenizerClass(
    {"model": Section(("BPE",)), "pre_tokenizer": Section(("BertPreTokenizer",))}, _ANGLE
)
# Names may end in "Fast".
CLASSES = {
    "BertTokenizer": _BERT,
    "DistilBertTokenizer": _BERT,
    "DPRContextEncoderTokenizer": _BERT,
    "DPRQuestionEncoderTokenizer": _BERT,
    "ElectraTokenizer": _BERT,
    "LayoutLMTokenizer": _BERT,
    "MPNetTokenizer": _BERT._replace(tokens=_ANGLE | {"unk_token": "[UNK]"}),
    "BartTokenizer": _ROBERTA,
    "LongformerTokenizer": _ROBERTA,
    "RobertaTokenizer": _ROBERTA,
    "XLMRobertaTokenizer": _XLM_ROBERTA,
    "CamembertTokenizer": TokenizerClass(_PIECES, _ANGLE, prefix_space=True),
    "HerbertTokenizer": _HERBERT,
}
# Classes that transformers builds too, but for models that are not BERT's kin.
OF_OTHER_MODELS = (
    "AlbertTokenizer",
    "CLIPTokenizer",
    "FunnelTokenizer",
    "GPT2Tokenizer",
    "LlamaTokenizer",
    "NllbTokenizer",
    "T5Tokenizer",
)
# Tokenizers whose case and accents tokenizer_config.json sets.
BERT_CLASSES = tuple(name for name, each in CLASSES.items() if each.sections is _WORDPIECE)


def is_of_bert(name: object) -> bool:
    """Tell whether a tokenizer class is BERT's or one that is equal to it."""
    return isinstance(name, str) and name.removesuffix("Fast") in BERT_CLASSES
