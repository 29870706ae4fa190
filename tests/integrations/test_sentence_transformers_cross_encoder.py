"""sentence-transformers' CrossEncoder and ours: the same folders, calls and scores."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bge_micro
from family_models import KINDS, family_weights, head_weights, write_reranker_folder

theirs = pytest.importorskip("sentence_transformers", reason="needs sentence-transformers")
torch = pytest.importorskip("torch", reason="needs torch")

KIND = KINDS["bert"]
TEXTS = ["", "w1", "w2 w3", *(" ".join(f"w{n * m % 50}" for m in range(n)) for n in range(60))]
PAIRS = [(f"w{n} w3", text) for n, text in enumerate(TEXTS)] + [(t, t) for t in TEXTS]
TOKENIZER = (
    '{"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 48, "cls_token": "[CLS]", '
    '"sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]", '
    '"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}'
)


def load(folder: Path) -> tuple[Any, bge_micro.CrossEncoder]:
    """Return both libraries' models of a folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = theirs.CrossEncoder(str(folder), device="cpu")
    return reference, bge_micro.CrossEncoder(folder, compute_type="float32")


def write(folder: Path, labels: int, **fields: Any) -> None:
    names = {str(n): f"L{n}" for n in range(labels)}
    fields |= {"architectures": ["BertForSequenceClassification"], "id2label": names}
    parts = family_weights(KIND), head_weights(KIND, labels)
    write_reranker_folder(folder, KIND, *parts, **fields)
    (folder / "tokenizer_config.json").write_text(TOKENIZER)


IDENTITY = "torch.nn.modules.linear.Identity"


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"sbert_ce_default_activation_function": IDENTITY},
        {"sentence_transformers": {"activation_fn": IDENTITY, "version": "4.1.0"}},
    ],
)
def test_same_scores(labels: int, fields: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path / "plain", labels, **fields)
    reference, ours = load(tmp_path / "plain")
    assert ours.max_length == reference.max_seq_length
    saved = tmp_path / "saved"
    reference.save_pretrained(str(saved))
    for model in (ours, bge_micro.CrossEncoder(saved, compute_type="float32")):
        expected = reference.predict(PAIRS)
        assert model.predict(PAIRS).dtype == expected.dtype
        np.testing.assert_allclose(model.predict(PAIRS), expected, atol=2e-5)
        for options in ({"apply_softmax": True}, {"activation_fn": torch.nn.Tanh()}):
            expected = reference.predict(PAIRS, **options)
            np.testing.assert_allclose(model.predict(PAIRS, **options), expected, atol=2e-5)
        single = reference.predict(PAIRS[5])
        assert np.shape(model.predict(PAIRS[5])) == np.shape(single)
        tensor = model.predict(PAIRS, convert_to_tensor=True)
        assert isinstance(tensor, torch.Tensor)
        assert tensor.shape == reference.predict(PAIRS, convert_to_tensor=True).shape


def test_same_ranks(tmp_path: Path) -> None:
    write(tmp_path, 1)
    reference, ours = load(tmp_path)
    texts = sorted({*TEXTS})
    wanted = reference.rank("w5 w6", texts, top_k=7, return_documents=True)
    found = ours.rank("w5 w6", texts, top_k=7, return_documents=True)
    assert [each["corpus_id"] for each in found] == [each["corpus_id"] for each in wanted]
    assert [each["text"] for each in found] == [each["text"] for each in wanted]
    scores = [each["score"] for each in wanted]
    np.testing.assert_allclose([each["score"] for each in found], scores, atol=2e-5)
