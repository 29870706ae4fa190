"""sentence-transformers' side files: every form that is accepted, and refusals by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bge_micro.checkpoint import CheckpointError, MissingFileError, load_folder
from bge_micro.checkpoint.modules import read_model_settings, read_modules

Write = Callable[[Path, Any], None]

OLD = "sentence_transformers.models."
NEW = (
    "sentence_transformers.base.modules.transformer.Transformer",
    "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "sentence_transformers.base.modules.normalize.Normalize",
)
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
}


def modules(*types: str) -> list[dict[str, Any]]:
    paths = ["", *(f"{i}_{t.rpartition('.')[2]}" for i, t in enumerate(types) if i)]
    return [
        {"idx": i, "name": str(i), "path": path, "type": kind}
        for i, (path, kind) in enumerate(zip(paths, types, strict=True))
    ]


def test_a_plain_folder_means_mean_pooling(tiny_folder: Path) -> None:
    (tiny_folder / "modules.json").unlink()
    checkpoint = load_folder(tiny_folder)
    assert (checkpoint.pooling, checkpoint.normalize) == ("mean", False)


@pytest.mark.parametrize("kind", [(OLD + "Transformer", OLD + "Pooling", OLD + "Normalize"), NEW])
@pytest.mark.parametrize("with_config", [False, True])
def test_normalize_in_old_and_new_names(
    tiny_folder: Path, write_json: Write, kind: tuple[str, ...], with_config: bool
) -> None:
    write_json(tiny_folder / "modules.json", modules(*kind))
    if with_config:
        config = {"module_input_name": "sentence_embedding"}
        write_json(tiny_folder / "2_Normalize/config.json", config)
    assert load_folder(tiny_folder).normalize is True


@pytest.mark.parametrize("flag", FLAGS)
def test_pooling_in_old_and_new_form(tiny_folder: Path, write_json: Write, flag: str) -> None:
    path = tiny_folder / "1_Pooling/config.json"
    write_json(path, {"word_embedding_dimension": 64, **{f: f == flag for f in FLAGS}})
    assert read_modules(tiny_folder).pooling == FLAGS[flag]
    for mode in (FLAGS[flag], [FLAGS[flag]]):
        write_json(path, {"embedding_dimension": 64, "pooling_mode": mode, "include_prompt": True})
        assert load_folder(tiny_folder).pooling == FLAGS[flag]


def test_pooling_of_a_dimension_alone_is_mean(tiny_folder: Path, write_json: Write) -> None:
    write_json(tiny_folder / "1_Pooling/config.json", {"word_embedding_dimension": 64})
    assert load_folder(tiny_folder).pooling == "mean"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pooling_mode": "weightedmean"}, "pooling weightedmean is not supported"),
        ({"pooling_mode_lasttoken": True}, "pooling lasttoken is not supported"),
        ({"pooling_mode": ["mean", "cls"]}, r"pooling mean \+ cls is not supported"),
        (
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
            r"pooling cls \+ mean is not supported",
        ),
        ({"pooling_mode_mean_tokens": False}, "pooling none is not supported"),
        ({"pooling_mode": 3}, "pooling 3 is not supported"),
        ({"pooling_mode": []}, "pooling none"),
        ({"pooling_mode": "mean", "embedding_dimension": 384}, "384 features"),
        ({"pooling_mode": "mean", "embedding_dimension": "64"}, "dimension"),
    ],
)
def test_other_pooling_is_refused_by_name(
    tiny_folder: Path, write_json: Write, config: dict[str, Any], message: str
) -> None:
    write_json(tiny_folder / "1_Pooling/config.json", config)
    with pytest.raises(CheckpointError, match=message):
        load_folder(tiny_folder)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (modules(OLD + "Transformer", OLD + "Pooling", OLD + "LSTM"), "LSTM"),
        (modules(*(OLD + n for n in ("Transformer", "Pooling", "Normalize", "Dense"))), "Dense"),
        (modules(OLD + "Transformer"), "Transformer"),
        (modules(OLD + "Pooling", OLD + "Transformer"), "Pooling, Transformer"),
        (modules(OLD + "CLIPModel"), "CLIPModel"),
        (modules("modeling_evil.Transformer", OLD + "Pooling"), "modeling_evil"),
        ([], "none"),
        ({}, "expected an array"),
        ([3], "module 0"),
        ([{"type": OLD + "Transformer"}], "type and path"),
        ([{"type": OLD + "Transformer", "path": "../other"}], "leads out"),
        ([{"type": OLD + "Transformer", "path": "/etc"}], "leads out"),
        ([{"type": OLD + "Transformer", "path": "C:\\x"}], "leads out"),
    ],
)
def test_other_modules_are_refused_by_name(
    tiny_folder: Path, write_json: Write, value: Any, message: str
) -> None:
    write_json(tiny_folder / "modules.json", value)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_folder(tiny_folder)
    assert "modules.json" in str(caught.value)


def test_normalize_of_tokens_is_refused(tiny_folder: Path, write_json: Write) -> None:
    write_json(tiny_folder / "modules.json", modules(*NEW))
    write_json(tiny_folder / "2_Normalize/config.json", {"module_input_name": "token_embeddings"})
    with pytest.raises(CheckpointError, match="token_embeddings"):
        load_folder(tiny_folder)


def test_a_missing_pooling_config_is_named(tiny_folder: Path) -> None:
    (tiny_folder / "1_Pooling/config.json").unlink()
    with pytest.raises(MissingFileError, match="1_Pooling"):
        load_folder(tiny_folder)


def test_model_settings(tiny_folder: Path, write_json: Write) -> None:
    write_json(
        tiny_folder / "config_sentence_transformers.json",
        {
            "__version__": {"sentence_transformers": "6.2.0"},
            "prompts": {"query": "query: ", "document": ""},
            "default_prompt_name": "query",
            "similarity_fn_name": "dot",
            "truncate_dim": 32,
        },
    )
    checkpoint = load_folder(tiny_folder)
    assert checkpoint.prompts == {"query": "query: ", "document": ""}
    assert checkpoint.default_prompt_name == "query"
    assert checkpoint.similarity_fn_name == "dot"
    assert checkpoint.truncate_dim == 32


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "SparseEncoder"),
        ("prompts", {"query": 3}),
        ("prompts", ["query: "]),
        ("default_prompt_name", "absent"),
        ("default_prompt_name", 3),
        ("similarity_fn_name", "maxsim"),
        ("truncate_dim", 0),
        ("truncate_dim", "32"),
    ],
)
def test_bad_model_settings(tmp_path: Path, write_json: Write, field: str, value: Any) -> None:
    write_json(tmp_path / "config_sentence_transformers.json", {field: value})
    with pytest.raises(CheckpointError, match=field):
        read_model_settings(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_seq_length", 2),
        ("max_seq_length", "512"),
        ("do_lower_case", 1),
        ("transformer_task", "fill-mask"),
        ("processing_kwargs", {"text": {"max_length": 9}}),
        ("query_length", 32),
        ("document_length", 180),
        ("query_expansion", {"length": 32}),
    ],
)
def test_bad_transformer_settings(
    tiny_folder: Path, write_json: Write, field: str, value: Any
) -> None:
    write_json(tiny_folder / "sentence_bert_config.json", {field: value})
    with pytest.raises(CheckpointError, match=field):
        load_folder(tiny_folder)
