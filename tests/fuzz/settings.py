"""A model folder's JSON files: whatever is in one, it is read to something sound or refused.

The first byte of an input says which file the rest is.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bge_micro.checkpoint import CheckpointError
from bge_micro.checkpoint.config import EncoderConfig, read_config
from bge_micro.checkpoint.modules import (
    POOLINGS,
    SIMILARITY_FUNCTIONS,
    ModelSettings,
    Modules,
    TransformerSettings,
    read_model_settings,
    read_modules,
    read_transformer_settings,
)
from bge_micro.checkpoint.side_file import SideFile, read_side_file
from bge_micro.checkpoint.weight_files import shard_files

from .mutation import Damage, mutate_json

# Files that live in memory, where the system has such a place.
_PLACE = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_FOLDER = Path(tempfile.mkdtemp(prefix="bge-micro-fuzz-", dir=_PLACE))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


def check_config(config: EncoderConfig) -> None:
    assert config.hidden == config.heads * config.head_size
    assert config.hidden % 64 == config.intermediate % 64 == config.head_size % 16 == 0
    assert min(config.layers, config.vocab, config.positions, config.token_types) >= 1
    assert max(config.hidden, config.intermediate) <= 32768
    assert 0 < config.layer_norm_eps <= 1
    assert type(config.layer_norm_eps) is float
    check_config_again = config.to_json()
    assert json.loads(json.dumps(check_config_again)) == check_config_again


def check_modules(modules: Modules) -> None:
    assert modules.pooling in POOLINGS
    assert modules.transformer.resolve().is_relative_to(_FOLDER.resolve())
    assert modules.dimension is None or type(modules.dimension) is int
    assert type(modules.normalize) is bool
    assert type(modules.include_prompt) is bool


def check_transformer(settings: TransformerSettings) -> None:
    assert settings.max_seq_length is None or settings.max_seq_length >= 3
    assert type(settings.do_lower_case) is bool


def check_settings(settings: ModelSettings) -> None:
    assert all(type(text) is str for pair in settings.prompts.items() for text in pair)
    assert settings.default_prompt_name in {None, "query", "document", *settings.prompts}
    assert settings.similarity_fn_name in {None, *SIMILARITY_FUNCTIONS}
    assert settings.truncate_dim is None or settings.truncate_dim >= 1


def check_side_file(side: SideFile | None) -> None:
    assert side is not None
    assert all(type(text) is str for pair in side.sha256.items() for text in pair)


def check_shards(files: tuple[Path, ...]) -> None:
    assert all(file.parent == _FOLDER for file in files)


FILES: list[tuple[str, Callable[[], Any], Callable[[Any], None]]] = [
    ("config.json", lambda: read_config(_FOLDER / "config.json")[1], check_config),
    ("modules.json", lambda: read_modules(_FOLDER), check_modules),
    ("1_Pooling/config.json", lambda: read_modules(_FOLDER), check_modules),
    (
        "sentence_bert_config.json",
        lambda: read_transformer_settings(_FOLDER),
        check_transformer,
    ),
    (
        "config_sentence_transformers.json",
        lambda: read_model_settings(_FOLDER),
        check_settings,
    ),
    ("bge_micro.json", lambda: read_side_file(_FOLDER), check_side_file),
    ("index.json", lambda: shard_files(_FOLDER / "index.json"), check_shards),
]
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
POOLING = {"word_embedding_dimension": 64, "pooling_mode_mean_tokens": True}
# The files beside the one that is tested.
SOUND = {"modules.json": MODULES, "1_Pooling/config.json": POOLING}
(_FOLDER / "1_Pooling").mkdir()
for _name, _value in SOUND.items():
    (_FOLDER / _name).write_text(json.dumps(_value))

KEYS = [
    *("a", "idx", "path", "type", "pooling_mode", "pooling_mode_max_tokens", "prompts", "query"),
    *("default_prompt_name", "similarity_fn_name", "truncate_dim", "max_seq_length", "weight_map"),
    *("hidden_act", "position_embedding_type", "is_decoder", "sha256", "files", "metadata"),
]
VALUES: list[Any] = [
    *(None, True, False, "", "..", "../..", "/", "a", "bert", "mean", "cls", [], {}, [{}], [[]]),
    *(0, 1, -1, 3, 64, 100, 2**31, 2**63, 10**39, 1.5, 1e-38, 1e308, {"a": "b"}, {"a": 1}),
]


def fuzz(data: bytes) -> None:
    """Read the bytes as one of the files, beside others that are as they should be."""
    if not data:
        return
    name, read, check = FILES[data[0] % len(FILES)]
    file = _FOLDER / name
    file.write_bytes(data[1:])
    try:
        found = read()
    except CheckpointError as error:
        if str(_FOLDER) not in str(error):
            raise AssertionError("the message does not name the file") from error
        return
    finally:
        if name in SOUND:
            file.write_text(json.dumps(SOUND[name]))
        else:
            file.unlink()
    check(found)


def mutate(data: bytes, most: int, rng: random.Random, damage: Damage) -> bytes:
    """Damage the bytes, or put another value into the JSON."""
    return mutate_json(data, 1, most, rng, damage, KEYS, VALUES)
