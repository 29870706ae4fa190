"""GGUF files laid out as llama.cpp's converter lays them out, written by the gguf package."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from api.tiny_model import CONFIG, VOCAB, tiny_tensors
from bge_micro import SentenceTransformer
from bge_micro.checkpoint import CheckpointError, bundled_folder, load_folder
from bge_micro.convert import convert_gguf
from bge_micro.convert.gguf_reader import read_gguf
from bge_micro.tokenization import Tokenizer, build_wordpiece_tokenizer
from properties import examples

gguf = pytest.importorskip("gguf", reason="GGUF files need the extra bge-micro[gguf]")

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
NAMES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def phantom(token: str, control: bool, old: bool) -> str:
    """Rewrite a token as llama.cpp does, or as its older versions did."""
    if control or (old and token.startswith("[") and token.endswith("]")):
        return token
    return token[2:] if token.startswith("##") else "\u2581" + token


def write_gguf(
    path: Path,
    kind: str = "F32",
    *,
    vocab: list[str] = VOCAB,
    tensors: dict[str, NDArray[Any]] | None = None,
    old: bool = False,
    pooling: int | None = 1,
    **changed: Any,
) -> Path:
    writer = gguf.GGUFWriter(str(path), changed.get("architecture", "bert"))
    writer.add_context_length(CONFIG.positions)
    writer.add_embedding_length(CONFIG.hidden)
    writer.add_feed_forward_length(CONFIG.intermediate)
    writer.add_block_count(changed.get("layers", CONFIG.layers))
    writer.add_head_count(CONFIG.heads)
    writer.add_layer_norm_eps(CONFIG.layer_norm_eps)
    writer.add_causal_attention(changed.get("causal", False))
    if pooling is not None:
        writer.add_pooling_type(gguf.PoolingType(pooling))
    writer.add_tokenizer_model(changed.get("tokenizer", "bert"))
    writer.add_token_type_count(CONFIG.token_types)
    control = [token in SPECIAL for token in vocab]
    writer.add_token_list([phantom(t, c, old) for t, c in zip(vocab, control, strict=True)])
    writer.add_token_types([3 if c else 1 for c in control])
    for name, array in (tensors or tiny_tensors()).items():
        stem, _, part = name.rpartition(".")
        prefix = ""
        if stem.startswith("encoder.layer."):
            _, _, layer, stem = stem.split(".", 3)
            prefix = f"blk.{layer}."
        # As llama.cpp: vectors and small tables stay in 32 bits.
        is_matrix = array.ndim == 2 and NAMES[stem] not in ("position_embd", "token_types")
        target = gguf.GGMLQuantizationType[kind if is_matrix else "F32"]
        data = gguf.quants.quantize(np.ascontiguousarray(array), target)
        writer.add_tensor(f"{prefix}{NAMES[stem]}.{part}", data, raw_dtype=target)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0"])
@pytest.mark.parametrize("old", [False, True])
def test_every_type(tmp_path: Path, kind: str, old: bool) -> None:
    model = read_gguf(write_gguf(tmp_path / "model.gguf", kind, old=old))
    assert model.config == CONFIG
    assert model.vocab == VOCAB
    assert model.pooling == "mean"
    for name, expected in tiny_tensors().items():
        found = model.tensors[name]
        bound = {"F32": 0, "F16": 2**-11, "BF16": 2**-8, "Q8_0": 1 / 200}[kind]
        assert np.abs(found - expected).max() <= bound * np.abs(expected).max(), name


def test_vectors_of_a_converted_file(tmp_path: Path) -> None:
    from api.tiny_model import write_tiny_model

    path = write_gguf(tmp_path / "model.gguf")
    source = SentenceTransformer(write_tiny_model(tmp_path / "tiny"), compute_type="float32")
    for normalize in (False, True):
        out = tmp_path / f"out{normalize}"
        convert_gguf(path, out, normalize=normalize, compute_type="float32")
        texts = ["a b c", "bc cb, d."]
        found = SentenceTransformer(out, compute_type="float32").encode(texts)
        expected = source.encode(texts, normalize_embeddings=normalize)
        assert found.tobytes() == expected.tobytes()
    convert_gguf(path, tmp_path / "int8", normalize=True)
    assert (
        load_folder(tmp_path / "int8").tensors["encoder.layer.0.output.dense.weight"].dtype == "i1"
    )


def test_pooling_that_the_file_does_not_say(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "model.gguf", pooling=None)
    with pytest.raises(ValueError, match="does not say how the model pools"):
        convert_gguf(path, tmp_path / "out", normalize=True)
    out = convert_gguf(path, tmp_path / "out", normalize=True, pooling="max")
    assert load_folder(out).pooling == "max"
    cls = read_gguf(write_gguf(tmp_path / "cls.gguf", pooling=2))
    assert cls.pooling == "cls"


BERT_VOCAB = json.loads((bundled_folder() / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]


@pytest.fixture(scope="module", params=[False, True])
def tokenizers(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Return BERT's tokenizer, and the one made from a GGUF file with its vocabulary."""
    vocab = list(BERT_VOCAB)
    tensors = tiny_tensors()
    words = np.zeros((len(vocab), CONFIG.hidden), np.float32)
    tensors["embeddings.word_embeddings.weight"] = words
    path = tmp_path_factory.mktemp("gguf") / "vocab.gguf"
    model = read_gguf(write_gguf(path, "F16", vocab=vocab, tensors=tensors, old=request.param))
    assert model.vocab == vocab
    return (
        Tokenizer.from_json(build_wordpiece_tokenizer(vocab).to_str(), source="source"),
        Tokenizer.from_json(build_wordpiece_tokenizer(model.vocab).to_str(), source="gguf"),
    )


@given(st.lists(st.text(max_size=60), max_size=20))
@examples(50)
def test_ids_of_any_text(tokenizers: tuple[Any, Any], texts: list[str]) -> None:
    source, rebuilt = (tokenizer.ragged(texts, 64) for tokenizer in tokenizers)
    assert source.ids.tolist() == rebuilt.ids.tolist()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"architecture": "nomic-bert"}, "general.architecture is 'nomic-bert'"),
        ({"tokenizer": "t5"}, "tokenizer.ggml.model is 't5'"),
        ({"causal": True}, "causal is true"),
        ({"pooling": 3}, "pooling_type is 3"),
        ({"kind": "Q4_0"}, "type is Q4_0"),
    ],
)
def test_other_models_are_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = write_gguf(tmp_path / "model.gguf", **changed)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_gguf(path)
    assert str(path) in str(caught.value)


def test_damaged_files(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "model.gguf")
    content = path.read_bytes()
    rng = random.Random(3)
    header = 4000
    for number in range(60):
        damaged = bytearray(content)
        if number % 2:
            damaged = damaged[: rng.randrange(len(damaged))]
        else:
            at = rng.randrange(header)
            damaged[at : at + 8] = rng.choice([b"\xff" * 8, b"\0" * 8, b"\0" * 7 + b"\x40"])
        path.write_bytes(damaged)
        try:
            convert_gguf(path, tmp_path / f"out{number}", normalize=True)
        except ValueError as error:
            assert str(path) in str(error) or "vocabulary" in str(error)  # noqa: PT017


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_gguf(tmp_path / "model.gguf")
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(ImportError, match=r"bge-micro\[gguf\]"):
        read_gguf(path)
