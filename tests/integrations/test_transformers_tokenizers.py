"""Tokenizers whose files contradict each other: transformers' ids, or refused by name.

`python scripts/test_integrations.py transformers` runs this with the real package.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from bge_micro.checkpoint import CheckpointError
from bge_micro.checkpoint.modules import read_transformer_settings
from bge_micro.checkpoint.tokenizer_files import read_tokenizer_facts
from bge_micro.tokenization import Tokenizer
from bge_micro.tokenization.files import read_tokenizer
from tokenizer_folders import BASES, TEXTS, cases

transformers = pytest.importorskip("transformers", reason="needs transformers")


def our_ids(folder: Path, name: str) -> list[list[int]]:
    facts = read_tokenizer_facts(folder, read_transformer_settings(folder), 512, name)
    contents = json.dumps(read_tokenizer(facts.file, facts.normalizer))
    tokenizer = Tokenizer.from_json(contents, source=str(facts.file))
    return [tokenizer.ragged([text], 512).ids.tolist() for text in TEXTS]


@pytest.mark.parametrize("base", BASES)
def test_ids_are_equal_or_the_tokenizer_is_refused(base: str, tmp_path: Path) -> None:
    equal, refused = 0, 0
    for number, case in enumerate(cases(BASES[base])):
        folder = tmp_path / str(number)
        folder.mkdir()
        case.write(folder, BASES[base])
        try:
            found = our_ids(folder, BASES[base].fields["tokenizer_class"])
        except (CheckpointError, ValueError):
            assert case.name not in ("as saved", "decoder", "class Unheard"), case
            refused += 1
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = transformers.AutoTokenizer.from_pretrained(folder)
                wanted = [theirs(text)["input_ids"] for text in TEXTS]
        except Exception:  # there is nothing to be equal to
            continue
        assert found == wanted, case
        equal += 1
    assert equal > 20
    assert refused > 50
