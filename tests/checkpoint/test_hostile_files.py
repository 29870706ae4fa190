"""Two hundred damaged folders: each gives a clear error soon, and without much memory."""

from __future__ import annotations

import json
import random
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from api.tiny_model import write_tiny_model
from bge_micro import SentenceTransformer
from bge_micro.checkpoint import CheckpointError

Damage = Callable[[Path, random.Random], None]

MOST_SECONDS = 5.0
MOST_BYTES = 64 * 2**20


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write_header(path: Path, header: Any, data: bytes, length: int | None = None) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def change_entry(
    folder: Path, rng: random.Random, change: Callable[[dict[str, Any]], None]
) -> None:
    path = folder / "model.safetensors"
    header, data = header_of(path)
    change(header[rng.choice(sorted(header.keys() - {"__metadata__"}))])
    write_header(path, header, data)


def lying_offsets(folder: Path, rng: random.Random) -> None:
    offset = rng.choice([-1, 1, 7, 2**31, 2**62, 2**63, 10**30])

    def change(entry: dict[str, Any]) -> None:
        entry["data_offsets"][rng.randrange(2)] += offset

    change_entry(folder, rng, change)


def absurd_shapes(folder: Path, rng: random.Random) -> None:
    shape = rng.choice([[2**40, 2**40], [0], [2**62], [-1, 64], [1.5], [], [64] * 17, ["64"], None])
    change_entry(folder, rng, lambda entry: entry.update(shape=shape))


def other_dtypes(folder: Path, rng: random.Random) -> None:
    dtype = rng.choice(["F64", "I8", "F8_E4M3", "BOOL", "", 3, "f32", "U4"])
    change_entry(folder, rng, lambda entry: entry.update(dtype=dtype))


def absurd_header_lengths(folder: Path, rng: random.Random) -> None:
    path = folder / "model.safetensors"
    header, data = header_of(path)
    write_header(path, header, data, rng.choice([0, 1, 2**20, 2**32, 2**63, 2**64 - 1]))


def cut_off(folder: Path, rng: random.Random) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def missing_tensors(folder: Path, rng: random.Random) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name in rng.sample(sorted(tensors), rng.randint(1, 3)):
        del tensors[name]
    save_file(tensors, path)


def wrong_shapes(folder: Path, rng: random.Random) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = rng.choice(sorted(tensors))
    tensors[name] = np.ascontiguousarray(np.concatenate([tensors[name]] * 2))
    save_file(tensors, path)


def values_that_are_no_numbers(folder: Path, rng: random.Random) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    array = tensors[rng.choice(sorted(tensors))]
    array.reshape(-1)[rng.randrange(array.size)] = rng.choice([np.nan, np.inf, -np.inf])
    save_file(tensors, path)


def hostile_json(folder: Path, rng: random.Random) -> None:
    name = rng.choice(["config.json", "modules.json", "1_Pooling/config.json", "tokenizer.json"])
    bombs = [b"[" * 200_000, b"9" * 300_000, b'{"a":' * 100_000, b"\xff\xfe", b"", b"null", b"NaN"]
    bombs += [b'{"hidden_size": 1e999}', b'{"a": 1, "a": 2}', b'"' + b"\\u0000" * 9 + b'"']
    (folder / name).write_bytes(rng.choice(bombs))


def absurd_sizes(folder: Path, rng: random.Random) -> None:
    path = folder / "config.json"
    fields = json.loads(path.read_text())
    names = ["hidden_size", "num_hidden_layers", "vocab_size", "num_attention_heads"]
    names += ["intermediate_size", "max_position_embeddings", "type_vocab_size"]
    values = [0, -1, 2**31, 2**70, 1.5, True, "64", None, [], 7, 63]
    fields[rng.choice(names)] = rng.choice(values)
    path.write_text(json.dumps(fields))


def unknown_kinds(folder: Path, rng: random.Random) -> None:
    config, pooling, modules = "config.json", "1_Pooling/config.json", "modules.json"
    name, field, value = rng.choice(
        [
            (config, "model_type", "t5"),
            (config, "hidden_act", "gelu_new"),
            (config, "position_embedding_type", "relative_key"),
            (config, "is_decoder", True),
            (pooling, "pooling_mode", "weightedmean"),
            (pooling, "pooling_mode", ["mean", "max"]),
            (pooling, "include_prompt", "yes"),
            (pooling, "word_embedding_dimension", 63),
            (modules, "type", "sentence_transformers.models.Dense"),
            (modules, "type", "evil.Code"),
            (modules, "path", "../../etc"),
        ]
    )
    value_now = json.loads((folder / name).read_text())
    (value_now[1] if isinstance(value_now, list) else value_now)[field] = value
    (folder / name).write_text(json.dumps(value_now))


def other_tokenizers(folder: Path, rng: random.Random) -> None:
    path = folder / "tokenizer.json"
    fields = json.loads(path.read_text())
    kind = rng.randrange(4)
    if kind == 0:
        fields["model"]["vocab"]["far"] = 10**6
    elif kind == 1:
        fields["model"]["unk_token"] = "[GONE]"
    elif kind == 2:
        fields["post_processor"] = {"type": "Nobody's"}
    else:
        fields["model"] = {"type": "WordPiece"}
    path.write_text(json.dumps(fields))


def missing_files(folder: Path, rng: random.Random) -> None:
    (folder / rng.choice(["config.json", "tokenizer.json", "model.safetensors"])).unlink()


def folders_for_files(folder: Path, rng: random.Random) -> None:
    path = folder / rng.choice(["config.json", "model.safetensors", "modules.json"])
    path.unlink()
    path.mkdir()


DAMAGES: list[Damage] = [
    lying_offsets, absurd_shapes, other_dtypes, absurd_header_lengths, cut_off, missing_tensors,
    wrong_shapes, values_that_are_no_numbers, hostile_json, absurd_sizes, unknown_kinds,
    other_tokenizers, missing_files, folders_for_files,
]  # fmt: skip
SEEDS = 15  # for each, 210 in all


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_folders(damage: Damage, tmp_path: Path) -> None:
    for seed in range(SEEDS):
        folder = write_tiny_model(tmp_path / f"model{seed}")
        damage(folder, random.Random(f"{damage.__name__} {seed}"))
        tracemalloc.reset_peak()
        before, start = tracemalloc.get_traced_memory()[0], time.process_time()
        with pytest.raises((CheckpointError, ValueError)) as caught:
            SentenceTransformer(folder)
        assert str(folder) in str(caught.value)
        assert len(str(caught.value)) < 2000
        assert time.process_time() - start < MOST_SECONDS
        assert tracemalloc.get_traced_memory()[1] - before < MOST_BYTES
