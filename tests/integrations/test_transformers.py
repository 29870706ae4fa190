"""Random models of every family that transformers makes and saves: both give the same tokens.

`python scripts/test_integrations.py transformers` runs this with the real package.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from family_models import PADDING_ID, TEXTS, VOCAB, token_ids, write_tokenizer

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


def random_model(name: str) -> Any:
    """Return a model whose biases and norms are not the zeros and ones of a new one."""
    config, sizes = MODELS[name]
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
    model = random_model(name)
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
