"""Random models of every family that transformers makes and saves: both give the same results.

`python scripts/test_integrations.py transformers` runs this with the real package.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro import CrossEncoder, SentenceTransformer
from family_models import PADDING_ID, TEXTS, VOCAB, pair_ids, token_ids, write_tokenizer

torch = pytest.importorskip("torch", reason="needs torch")
transformers = pytest.importorskip("transformers", reason="needs transformers")

SIZES = {
    "vocab_size": len(VOCAB),
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 48,
    "initializer_range": 0.3,
    "pad_token_id": PADDING_ID,
}
DISTILBERT = {
    "vocab_size": len(VOCAB),
    "dim": 64,
    "n_layers": 3,
    "n_heads": 4,
    "hidden_dim": 128,
    "max_position_embeddings": 48,
    "initializer_range": 0.3,
    "pad_token_id": PADDING_ID,
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "BertModel": ("BertConfig", SIZES),
    "RobertaModel": ("RobertaConfig", SIZES),
    "RobertaForMaskedLM": ("RobertaConfig", SIZES),
    "XLMRobertaModel": ("XLMRobertaConfig", SIZES),
    "CamembertModel": ("CamembertConfig", SIZES),
    "DistilBertModel": ("DistilBertConfig", DISTILBERT),
    "DistilBertForMaskedLM": ("DistilBertConfig", DISTILBERT),
    "MPNetModel": ("MPNetConfig", {**SIZES, "max_position_embeddings": 150}),
    "MPNetForMaskedLM": ("MPNetConfig", {**SIZES, "max_position_embeddings": 150}),
    "BertModel of odd sizes": (
        "BertConfig",
        {**SIZES, "hidden_size": 78, "num_attention_heads": 3, "intermediate_size": 150},
    ),
    "ElectraModel": ("ElectraConfig", {**SIZES, "embedding_size": 64}),
    "ElectraForPreTraining": ("ElectraConfig", {**SIZES, "embedding_size": 64}),
}


def random_model(name: str, config: str, sizes: dict[str, Any]) -> Any:
    """Return a model whose biases and norms are not the zeros and ones of a new one."""
    torch.manual_seed(3)
    model = getattr(transformers, name.split()[0])(getattr(transformers, config)(**sizes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
            elif parameter.shape == (32, 4):  # MPNet's attention biases
                parameter.mul_(5)
    return model


# Of checkpoints with a head it says that they were made for something else.
@pytest.mark.filterwarnings("ignore::bge_micro.checkpoint.errors.ModelWarning")
@pytest.mark.parametrize("name", MODELS)
def test_token_embeddings(name: str, tmp_path: Path) -> None:
    model = random_model(name, *MODELS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    exact, eight = (
        SentenceTransformer(tmp_path, compute_type=kind) for kind in ("float32", "int8")
    )
    encoder = getattr(model, model.base_model_prefix, model)
    longest = " ".join(f"w{7 * n * n % 50}" for n in range(exact.max_seq_length - 2))
    cosines = []
    for text in [*TEXTS, longest]:
        with torch.no_grad():
            wanted = encoder(torch.tensor([token_ids(text)]))[0][0].numpy()
        found = exact.encode(text, output_value="token_embeddings")
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
        vector, mean = eight.encode(text), wanted.mean(axis=0)
        cosines.append(vector @ mean / np.linalg.norm(vector) / np.linalg.norm(mean))
    assert np.mean(cosines) > 0.998


CLASSIFIERS = {
    "BertForSequenceClassification": MODELS["BertModel"],
    "RobertaForSequenceClassification": MODELS["RobertaModel"],
    "XLMRobertaForSequenceClassification": MODELS["XLMRobertaModel"],
    "CamembertForSequenceClassification": MODELS["CamembertModel"],
    "DistilBertForSequenceClassification": MODELS["DistilBertModel"],
    "MPNetForSequenceClassification": MODELS["MPNetModel"],
    "ElectraForSequenceClassification": MODELS["ElectraModel"],
}
PAIRS = [
    ("w1", "w2"),
    ("", "w3 w4 w5"),
    ("w6 w7", ""),
    *((f"w{n} w{n * n % 50}", f"w{7 * n % 50} w{3 * n % 50} w{n}") for n in range(40)),
]


@pytest.mark.parametrize("labels", [1, 2, 3])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_logits(name: str, labels: int, tmp_path: Path) -> None:
    config, sizes = CLASSIFIERS[name]
    model = random_model(name, config, sizes | {"num_labels": labels})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    ours = CrossEncoder(tmp_path, activation_fn="identity", compute_type="float32")
    assert ours.num_labels == labels
    wanted = []
    for first, second in PAIRS:
        ids, types = pair_ids(first, second)
        feed = {"input_ids": torch.tensor([ids])}
        if getattr(model.config, "type_vocab_size", 1) > 1:
            feed["token_type_ids"] = torch.tensor([types])
        with torch.no_grad():
            wanted.append(model(**feed).logits[0].numpy())
    logits = np.array(wanted)
    found = ours.predict(PAIRS).reshape(logits.shape)
    np.testing.assert_allclose(found, logits, atol=3e-5 * np.abs(logits).max())
