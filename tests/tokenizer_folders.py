"""Folders whose files name a tokenizer's tokens and class, in agreement and against each other."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from bge_micro.tokenization import build_wordpiece_tokenizer

WORDS = ["the", "cat", "mat", "on", "##s", ".", ",", "<s>", "</s>"]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
ANGLE = ["<s>", "<pad>", "</s>", "<unk>"]
TEXTS = [
    "the cat, the mats.",
    "The Cats <s> on</s> cat",
    "[CLS] cat [SEP] the [MASK] <mask>  <pad> <unk>[UNK] [PAD]",
    "x [NEW] the[NEW]cat on",
    "",
    " catthe mat\n\n on",
    "t" * 120,
    "é 日本 mat zzz É",
]
MASK = AddedToken("<mask>", lstrip=True, special=True)


class Base(NamedTuple):
    """A tokenizer with the files that transformers writes beside it.

    Attributes:
        model_type: That of config.json.
        contents: tokenizer.json.
        fields: tokenizer_config.json.
    """

    model_type: str
    contents: dict[str, Any]
    fields: dict[str, Any]


class Case(NamedTuple):
    """A folder's files; `contents` is None for a folder with vocab.txt."""

    name: str
    contents: dict[str, Any] | None
    fields: dict[str, Any]
    others: Mapping[str, Any] = MappingProxyType({})

    def write(self, folder: Path, base: Base) -> None:
        """Write the files."""
        files = {"config.json": {"model_type": base.model_type}, **self.others}
        files["tokenizer_config.json"] = self.fields
        if self.contents is None:
            (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
        else:
            files["tokenizer.json"] = self.contents
        for name, contents in files.items():
            (folder / name).write_text(json.dumps(contents), encoding="utf-8")


def bert() -> Base:
    """Return BERT's."""
    tokenizer = build_wordpiece_tokenizer(VOCAB)
    roles = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "pad", "unk", "mask")}
    return _base("bert", "BertTokenizer", tokenizer, roles)


def roberta() -> Base:
    """Return RoBERTa's."""
    pieces = [*ANGLE, "<mask>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("a", "t"), ("c", "at"), ("Ġ", "cat")]
    pieces += ["".join(pair) for pair in merges]
    ids = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(ids, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    tokenizer.add_special_tokens([*ANGLE, MASK])
    return _base("roberta", "RobertaTokenizer", tokenizer, _angle_roles())


def xlm_roberta() -> Base:
    """Return XLM-RoBERTa's."""
    pieces = [
        "▁",
        "the",
        "▁the",
        "▁cat",
        "▁mat",
        "s",
        "c",
        "a",
        "t",
        "h",
        "e",
        "日",
        "本",
        ".",
        ",",
    ]
    vocab = [*((name, 0.0) for name in ANGLE), *((p, -1 - n / 8) for n, p in enumerate(pieces))]
    tokenizer = Tokenizer(models.Unigram([*vocab, ("<mask>", 0.0)], 3, False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.add_special_tokens([*ANGLE, MASK])
    return _base("xlm-roberta", "XLMRobertaTokenizer", tokenizer, _angle_roles())


def _angle_roles() -> dict[str, str]:
    names = {"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>"}
    names |= {name: f"<{name}>" for name in ("pad", "unk", "mask")}
    return {f"{name}_token": token for name, token in names.items()}


def _base(model_type: str, name: str, tokenizer: Tokenizer, roles: dict[str, str]) -> Base:
    contents = json.loads(tokenizer.to_str())
    return Base(model_type, contents, {"tokenizer_class": name, "model_max_length": 512, **roles})


BASES = {"bert": bert(), "roberta": roberta(), "xlm-roberta": xlm_roberta()}


def cases(base: Base) -> Iterator[Case]:
    """Yield folders around a base: of its class, of no class of its own, and with vocab.txt."""
    yield Case("as saved", base.contents, base.fields)
    plain = {**base.fields, "tokenizer_class": "PreTrainedTokenizerFast"}
    for fields in (base.fields, plain):
        yield from _roles(base.contents, fields)
        yield from _lists(base.contents, fields)
        yield from _sections(base.contents, fields)
    for name in ("BertTokenizer", "MPNetTokenizerFast", "RobertaTokenizer", "XLMRobertaTokenizer"):
        yield Case(f"class {name}", base.contents, {**base.fields, "tokenizer_class": name})
    for name in ("GPT2Tokenizer", "T5TokenizerFast", "LayoutLMTokenizer", "Unheard"):
        yield Case(f"class {name}", base.contents, {**base.fields, "tokenizer_class": name})
    if base.model_type == "bert":
        for case in _roles(None, base.fields):
            yield case._replace(name=f"vocab.txt, {case.name}")
    else:
        yield Case("prefix space", base.contents, {**base.fields, "add_prefix_space": True})
        yield Case("no prefix space", base.contents, {**base.fields, "add_prefix_space": False})


def _roles(contents: dict[str, Any] | None, fields: dict[str, Any]) -> Iterator[Case]:
    """Another token for each role, in either file."""
    for role in ("cls_token", "sep_token", "pad_token", "unk_token", "mask_token", "eos_token"):
        for token in ("[NEW]", "the", "<s>", "[SEP]", None):
            yield Case(f"{role} {token}", contents, {**fields, role: token})
            rest = {name: value for name, value in fields.items() if name != role}
            yield Case(
                f"{role} {token} in the map",
                contents,
                rest,
                {"special_tokens_map.json": {role: token}},
            )


def _lists(contents: dict[str, Any], fields: dict[str, Any]) -> Iterator[Case]:
    """Tokens listed elsewhere, with other flags, or missing from tokenizer.json."""
    for token in ("[NEW]", "the", "<mask>", "[CLS]"):
        yield Case(
            f"{token} in added_tokens.json", contents, fields, {"added_tokens.json": {token: 999}}
        )
        for name in ("additional_special_tokens", "extra_special_tokens"):
            yield Case(f"{token} in {name}", contents, {**fields, name: [token]})
    stored = {str(token["id"]): token for token in contents["added_tokens"]}
    for number, token in stored.items():
        for flag in ("lstrip", "rstrip", "single_word"):
            decoder = {**stored, number: {**token, flag: not token[flag]}}
            yield Case(
                f"{token['content']} {flag}", contents, {**fields, "added_tokens_decoder": decoder}
            )
        left = [other for other in contents["added_tokens"] if other is not token]
        yield Case(f"without {token['content']}", {**contents, "added_tokens": left}, fields)
    yield Case("decoder", contents, {**fields, "added_tokens_decoder": stored})
    yield Case("split", contents, {**fields, "split_special_tokens": True})


def _sections(contents: dict[str, Any], fields: dict[str, Any]) -> Iterator[Case]:
    """Other sections of tokenizer.json."""
    other: list[tuple[str, Any]] = [
        ("normalizer", None),
        ("normalizer", {"type": "Lowercase"}),
        ("pre_tokenizer", None),
        ("pre_tokenizer", {"type": "Whitespace"}),
        ("pre_tokenizer", {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}),
    ]
    for section, value in other:
        yield Case(f"{section} {value}", {**contents, section: value}, fields)
    for field, value in (("unk_token", "the"), ("unk_id", 5), ("continuing_subword_prefix", "")):
        if field in contents["model"]:
            changed = copy.deepcopy(contents)
            changed["model"][field] = value
            yield Case(f"model {field} {value}", changed, fields)
    swapped = json.dumps(contents["post_processor"]).replace("[SEP]", "[MASK]")
    swapped = swapped.replace("</s>", "<pad>").replace("[3]", "[4]").replace("[2]", "[1]")
    swapped = swapped.replace('"<pad>", 2', '"<pad>", 1')
    yield Case("other ends", {**contents, "post_processor": json.loads(swapped)}, fields)
