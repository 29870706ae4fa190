"""Tokenizers that other files of their folder contradict are refused by name.

`tests/integrations/test_transformers_tokenizers.py` compares the ids of the others with those of
transformers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bge_micro.checkpoint import CheckpointError
from bge_micro.checkpoint.modules import read_transformer_settings
from bge_micro.checkpoint.tokenizer_files import TokenizerFacts, read_tokenizer_facts
from bge_micro.checkpoint.tokenizer_sections import read_head
from tokenizer_folders import BASES, Case, cases


def read(folder: Path, base: str, case: Case) -> TokenizerFacts:
    folder.mkdir(exist_ok=True)
    case.write(folder, BASES[base])
    settings = read_transformer_settings(folder)
    return read_tokenizer_facts(folder, settings, 512, BASES[base].fields["tokenizer_class"])


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cls_token [NEW]", "cls_token and|bos_token"),
        ("eos_token [NEW]", r"added token '\[NEW\]' of eos_token|bos_token and eos_token are"),
        ("pad_token the", "added token 'the' of pad_token"),
        ("unk_token [NEW]", "unk_token is|added token"),
        ("[NEW] in added_tokens.json", r"added token '\[NEW\]' of added_tokens"),
        ("[NEW] in extra_special_tokens", r"added token '\[NEW\]' of extra_special_tokens in"),
        ("without <pad>", "added token '<pad>' of pad_token"),
        ("split", "split_special_tokens"),
        ("pre_tokenizer None", "type of its pre_tokenizer is None, but the tokenizer class is"),
        ("normalizer {'type': 'Lowercase'}", "type of its normalizer is 'Lowercase'"),
        ("other ends", "its post_processor puts"),
        ("class GPT2Tokenizer", "GPT2Tokenizer, which is for other models"),
        ("prefix space", "add_prefix_space is False"),
        ("no prefix space", "add_prefix_space is True"),
        ("vocab.txt, cls_token [SEP]", r"cls_token in .* is '\[SEP\]', but with a vocab\.txt"),
    ],
)
def test_refusals(base: str, name: str, message: str, tmp_path: Path) -> None:
    case = next((each for each in cases(BASES[base]) if each.name == name), None)
    equal_to_the_default = {("roberta", "no prefix space"), ("xlm-roberta", "prefix space")}
    if case is None or (base, name) in equal_to_the_default:
        pytest.skip(f"not a case of {base}")
    if base != "xlm-roberta" and name == "cls_token [NEW]":
        message = "its post_processor puts|added token"
    if base == "xlm-roberta" and name == "cls_token [NEW]":
        message = r"added token '\[NEW\]' of cls_token"
    with pytest.raises(CheckpointError, match=message):
        read(tmp_path, base, case)


@pytest.mark.parametrize("base", BASES)
def test_files_that_agree_are_read(base: str, tmp_path: Path) -> None:
    found = {each.name: each for each in cases(BASES[base])}
    for name in ("as saved", "decoder", "class Unheard"):
        assert read(tmp_path / name, base, found[name]).normalizer is None


def test_the_class_may_be_named_by_the_model(tmp_path: Path) -> None:
    """multilingual-e5-small is a BERT whose config.json names XLM-RoBERTa's tokenizer."""
    fields = {"model_max_length": 512}
    named: dict[str, Any] = {"model_type": "bert", "tokenizer_class": "XLMRobertaTokenizer"}
    contents = BASES["xlm-roberta"].contents
    read(tmp_path / "a", "bert", Case("", contents, fields, {"config.json": named}))
    with pytest.raises(CheckpointError, match="tokenizer class is BertTokenizer"):
        read(tmp_path / "b", "bert", Case("", contents, fields))


@pytest.mark.parametrize("base", BASES)
def test_the_head_is_the_file_without_its_vocabulary(base: str, tmp_path: Path) -> None:
    contents = BASES[base].contents
    file = tmp_path / "tokenizer.json"
    texts = [json.dumps(contents), json.dumps(contents, indent=1, ensure_ascii=False)]
    texts.append(json.dumps(dict(reversed(contents.items()))))  # the vocabulary comes first
    word = {**contents["added_tokens"][0], "content": "vocab", "id": 90}
    texts.append(json.dumps({**contents, "added_tokens": [word]}))  # it seems to begin earlier
    for text in texts:
        file.write_text(text, encoding="utf-8")
        head, whole = read_head(file), json.loads(text)
        for name in ("added_tokens", "normalizer", "pre_tokenizer", "post_processor"):
            assert head[name] == whole[name]
        assert head["model"]["type"] == whole["model"]["type"]
