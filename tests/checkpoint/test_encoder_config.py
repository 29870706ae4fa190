"""Which config.json is accepted, and how refusals read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bge_micro.checkpoint import CheckpointError, EncoderConfig, MissingFileError
from bge_micro.checkpoint.config import parse_config, read_config
from bge_micro.checkpoint.json_file import MAX_JSON_BYTES


def test_round_trip(tiny_config: EncoderConfig) -> None:
    assert parse_config(tiny_config.to_json(), "here") == tiny_config
    assert tiny_config.head_size == 16


def test_hub_config_of_bge_micro() -> None:
    fields = {
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.1,
        "classifier_dropout": None,
        "hidden_act": "gelu",
        "hidden_size": 384,
        "intermediate_size": 1536,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "model_type": "bert",
        "num_attention_heads": 12,
        "num_hidden_layers": 3,
        "torch_dtype": "float16",
        "type_vocab_size": 2,
        "vocab_size": 30522,
    }
    expected = EncoderConfig(3, 384, 12, 1536, 30522, 512, 2, 1e-12)
    assert parse_config(fields, "here") == expected
    del fields["model_type"]  # then the architecture alone decides
    assert parse_config(fields, "here") == expected


REFUSED: list[tuple[str, Any, str]] = [
    ("model_type", "t5", "model_type is 't5', but this engine runs encoders of the types bert, "),
    ("model_type", None, "model_type is None"),
    ("model_type", ["bert"], "model_type"),
    ("hidden_act", "gelu_new", "hidden_act is 'gelu_new'"),
    ("hidden_act", "relu", "only 'gelu'"),
    ("position_embedding_type", "relative_key", "position_embedding_type"),
    ("is_decoder", True, "is_decoder"),
    ("hidden_size", 32768 + 64, "hidden_size is 32832"),
    ("hidden_size", 64.0, r"hidden_size is 64\.0"),
    ("hidden_size", True, "hidden_size is True"),
    ("hidden_size", -64, "hidden_size is -64"),
    ("hidden_size", "64", "hidden_size is '64'"),
    ("intermediate_size", 0, "intermediate_size is 0"),
    ("intermediate_size", 2**16, "intermediate_size is 65536"),
    ("num_attention_heads", 3, "num_attention_heads is 3, which does not divide"),
    ("num_attention_heads", 0, "num_attention_heads is 0"),
    ("num_hidden_layers", 10**9, "num_hidden_layers"),
    ("num_hidden_layers", None, "num_hidden_layers is None"),
    ("vocab_size", 2**40, "vocab_size"),
    ("max_position_embeddings", 2**40, "max_position_embeddings"),
    ("type_vocab_size", 2**40, "type_vocab_size"),
    ("layer_norm_eps", 0, "layer_norm_eps is 0"),
    ("layer_norm_eps", 1e-45, "layer_norm_eps"),
    ("layer_norm_eps", 2.0, "layer_norm_eps"),
    ("layer_norm_eps", "1e-12", "layer_norm_eps"),
]


@pytest.mark.parametrize(("field", "value", "message"), REFUSED)
def test_refusals_name_file_field_and_value(
    tiny_config: EncoderConfig, field: str, value: Any, message: str
) -> None:
    fields = tiny_config.to_json() | {"architectures": ["BertForMaskedLM"], field: value}
    with pytest.raises(CheckpointError, match=message) as caught:
        parse_config(fields, "the/config.json")
    assert "the/config.json" in str(caught.value)


def test_more_heads_than_padding_permits(tiny_config: EncoderConfig) -> None:
    fields = tiny_config._replace(hidden=4096, heads=4096).to_json()
    with pytest.raises(CheckpointError, match="with 16 features each gives 65536"):
        parse_config(fields, "here")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"[]", "expected a JSON object, found an array"),
        (b'{"a": 1, "a": 2}', "'a' appears twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff\xfe{}", "not valid JSON"),
    ],
)
def test_damaged_json(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_config(path)
    assert str(path) in str(caught.value)


def test_absent_and_oversized_json(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with pytest.raises(MissingFileError, match=r"config\.json"):
        read_config(path)
    with path.open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)  # a sparse file: its size is enough to refuse it
    with pytest.raises(CheckpointError, match="too many"):
        read_config(path)


@pytest.mark.parametrize("width", [32, 128, None])
def test_electra_with_a_projection_of_its_embeddings(
    tiny_config: EncoderConfig, width: int | None
) -> None:
    """Without the field the embeddings have 128 features, as transformers has it."""
    fields = tiny_config.to_json() | {"model_type": "electra", "embedding_size": 64}
    assert parse_config(fields, "here") == tiny_config
    fields |= {"embedding_size": width}
    if width is None:
        del fields["embedding_size"]
    with pytest.raises(
        CheckpointError, match=f"embedding_size is {width or 128}, but hidden_size is 64; a proj"
    ):
        parse_config(fields, "here")
