"""Small made-up models, so that every test here runs in a moment and without the real one."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import st_reference
from safetensors.numpy import save_file

from api import tiny_model
from bge_micro.checkpoint import EncoderConfig
from bge_micro.checkpoint.tensors import all_linears
from bge_micro.quantize import quantize_checkpoint
from bge_micro.tokenization import build_wordpiece_tokenizer
from official_export import official_export
from random_weights import Tensors, random_weights

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##b", "c", "."]

TINY = EncoderConfig(
    layers=2,
    hidden=64,
    heads=4,
    intermediate=128,
    vocab=len(VOCAB),
    positions=16,
    token_types=2,
    layer_norm_eps=1e-12,
)


@pytest.fixture
def vocab_path(tmp_path: Path) -> Path:
    """Return a vocab.txt for the tests' ONNX files, which hold `api.tiny_model`'s tensors."""
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(tiny_model.VOCAB) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def tiny_config() -> EncoderConfig:
    """Return the sizes of the tiny model."""
    return TINY


@pytest.fixture
def tiny_tensors() -> Tensors:
    """Return all tensors of the tiny model, random float32."""
    return random_weights(TINY, seed=7)


@pytest.fixture
def quantised(tiny_tensors: Tensors) -> Tensors:
    """Return the tiny model in our own format: int8 linears and words, with input factors."""
    words_name = "embeddings.word_embeddings.weight"
    tensors = dict(quantize_checkpoint(tiny_tensors, TINY))
    words = np.clip(np.rint(tensors[words_name] * 40), -128, 127).astype(np.int8)
    words[0, 0] = -128  # words, unlike linears, may hold it
    tensors |= {
        words_name: words,
        "embeddings.word_embeddings.scale": np.array([0.025], np.float32),
    }
    for linear in all_linears(TINY):
        factor = np.linspace(0.5, 2.0, linear.in_features, dtype=np.float32)
        tensors[f"{linear.name}.input_factor"] = factor
    return tensors


@pytest.fixture
def write_json() -> Callable[[Path, Any], None]:
    """Return a function that writes JSON to a path, making the folders it needs."""

    def write(path: Path, value: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")

    return write


@pytest.fixture
def tiny_folder(tmp_path: Path, tiny_tensors: Tensors, write_json: Callable[..., None]) -> Path:
    """Write the tiny model as sentence-transformers would, and return its folder."""
    folder = tmp_path / "tiny"
    write_json(folder / "config.json", TINY.to_json())
    write_json(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {
                "idx": 1,
                "name": "1",
                "path": "1_Pooling",
                "type": "sentence_transformers.models.Pooling",
            },
        ],
    )
    pooling = {"word_embedding_dimension": TINY.hidden, "pooling_mode_mean_tokens": True}
    write_json(folder / "1_Pooling/config.json", pooling)
    build_wordpiece_tokenizer(VOCAB).save(str(folder / "tokenizer.json"))
    save_file(tiny_tensors, folder / "model.safetensors")
    return folder


@pytest.fixture
def shared_model() -> Path:
    """Return the folder with the official export; skip if this machine does not have it."""
    return official_export()


@pytest.fixture(scope="session")
def theirs() -> Iterator[SimpleNamespace]:
    """Return torch, transformers and sentence-transformers, or skip."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch", reason="needs torch")
        transformers = pytest.importorskip("transformers", reason="needs transformers")
        library = pytest.importorskip(
            "sentence_transformers", reason="needs sentence-transformers, the reference here"
        )
        modules = importlib.import_module("sentence_transformers.models")
        yield SimpleNamespace(
            torch=torch, transformers=transformers, library=library, modules=modules
        )


@pytest.fixture(scope="session")
def plain_folder(theirs: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that transformers saved: weights, config and tokenizer, nothing else."""
    folder = tmp_path_factory.mktemp("bert")
    config = theirs.transformers.BertConfig(
        vocab_size=len(st_reference.VOCAB),
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=48,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.3,
    )
    theirs.torch.manual_seed(5)
    theirs.transformers.BertModel(config).save_pretrained(folder)
    tokenizer = theirs.transformers.PreTrainedTokenizerFast(
        tokenizer_object=build_wordpiece_tokenizer(st_reference.VOCAB),
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
        model_max_length=40,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    tokenizer.save_pretrained(folder)
    return folder
