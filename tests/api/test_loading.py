"""Loading models: by name, from folders in every dtype, from caches; damaged files."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import reference
from api.tiny_model import CONFIG, Tensors, tiny_tensors
from bge_micro import CheckpointError, MissingFileError, SentenceTransformer
from bge_micro.checkpoint.tensors import all_linears
from bge_micro.quantize import quantize_checkpoint

TEXTS = ["a b c", "", "abc def. gh", "h, " * 40, "bcb e"]
QUERY = "encoder.layer.1.attention.self.query.weight"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def as_bf16(path: Path, tensors: Tensors) -> Tensors:
    """Write BF16, which NumPy has no type for, by cutting off the lower half; return the values."""
    header: dict[str, Any] = {}
    data = b""
    values: Tensors = {}
    for name, array in tensors.items():
        halves = (array.view("<u4") >> 16).astype("<u2")
        values[name] = (halves.astype("<u4") << 16).view("<f4")
        offsets = [len(data), len(data) + halves.nbytes]
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": offsets}
        data += halves.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return values


def as_f16(path: Path, tensors: Tensors) -> Tensors:
    halves = {name: array.astype(np.float16) for name, array in tensors.items()}
    save_file(halves, path)
    return {name: array.astype(np.float32) for name, array in halves.items()}


def as_f32(path: Path, tensors: Tensors) -> Tensors:
    save_file(tensors, path)
    return tensors


def as_own_format(path: Path, tensors: Tensors) -> Tensors:
    """Write int8 linears and words, with a factor for each input feature."""
    words = "embeddings.word_embeddings"
    own = dict(quantize_checkpoint(tensors, CONFIG))
    own[f"{words}.weight"] = np.clip(np.rint(tensors[f"{words}.weight"] * 99), -128, 127).astype(
        np.int8
    )
    own[f"{words}.scale"] = np.array([1 / 99], np.float32)
    for linear in all_linears(CONFIG):
        factor = np.linspace(0.5, 2.0, linear.in_features, dtype=np.float32)
        own[f"{linear.name}.input_factor"] = factor
    save_file(own, path)
    return own


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """Return the folder of a tiny model; the test may damage it."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))


@pytest.fixture
def cache(tiny_folder: Path, tmp_path: Path) -> Path:
    """Return a Hugging Face cache whose TaylorAI/bge-micro-v2 is the tiny model."""
    repository = tmp_path / "hub/models--TaylorAI--bge-micro-v2"
    shutil.copytree(tiny_folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(COMMIT)
    return tmp_path / "hub"


def test_names_of_the_bundled_model(model: SentenceTransformer, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    expected = model.encode("a text").tobytes()
    for name in ("bge-micro-v2", "TaylorAI/bge-micro-v2"):
        assert SentenceTransformer(name).encode("a text").tobytes() == expected
    unused: dict[str, Any] = {"token": True, "local_files_only": True, "trust_remote_code": False}
    assert SentenceTransformer("bge-micro-v2", **unused).encode("a text").tobytes() == expected


@pytest.mark.parametrize("name", ["bge-micro-v2", "TaylorAI/bge-micro-v2"])
def test_a_folder_of_the_name_of_the_bundled_model(
    folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there" / name).parent.mkdir(parents=True)
    folder.rename(tmp_path / "there" / name)
    monkeypatch.chdir(tmp_path / "there")
    for named in (name, Path(name), f"./{name}", f"{name}/"):
        assert SentenceTransformer(named).get_embedding_dimension() == CONFIG.hidden
    for absent in (Path("bge-micro-v3"), "./bge-micro-v3"):
        with pytest.raises(MissingFileError, match="bge-micro-v3"):
            SentenceTransformer(absent)
    # A pickle is of the folder, wherever it is read; without the folder the name is the bundle's.
    pickled = pickle.dumps(SentenceTransformer(name, cache_folder="a cache"))
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickled).get_embedding_dimension() == CONFIG.hidden
    assert SentenceTransformer(name).get_embedding_dimension() == 384
    with pytest.raises(MissingFileError, match="bge-micro-v2"):
        SentenceTransformer(Path(name))


@pytest.mark.parametrize(
    "options", [{"revision": "main"}, {"revision": COMMIT}, {"source": "cache"}]
)
@pytest.mark.parametrize("name", ["bge-micro-v2", "TaylorAI/bge-micro-v2"])
def test_the_cache_when_asked_for(
    cache: Path, name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = SentenceTransformer(name, cache_folder=cache, **options)
    assert found.get_embedding_dimension() == CONFIG.hidden
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    assert SentenceTransformer(name, **options).encode("a b").shape == (CONFIG.hidden,)


def test_what_the_cache_does_not_hold(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "empty"))):
        SentenceTransformer(source="cache", cache_folder=tmp_path / "empty")
    with pytest.raises(MissingFileError, match=r"v2\.0"):
        SentenceTransformer(revision="v2.0", cache_folder=cache)
    weights = cache / "models--TaylorAI--bge-micro-v2/snapshots" / COMMIT / "model.safetensors"
    weights.unlink()
    with pytest.raises(MissingFileError, match=r"model\.safetensors"):
        SentenceTransformer(source="cache", cache_folder=cache)
    with pytest.raises(MissingFileError, match="models--org--model"):
        SentenceTransformer("org/model", cache_folder=cache)
    with pytest.raises(ValueError, match="do not apply to folders"):
        SentenceTransformer(tmp_path, revision="main")
    with pytest.raises(MissingFileError, match="absent"):
        SentenceTransformer(tmp_path / "absent")


@pytest.mark.parametrize("write", [as_f32, as_f16, as_bf16, as_own_format])
@pytest.mark.parametrize("kind", [str, Path])
def test_folders_in_every_dtype(
    folder: Path, write: Callable[[Path, Tensors], Tensors], kind: Callable[[Path], Any]
) -> None:
    tensors = write(folder / "model.safetensors", tiny_tensors())
    loaded = SentenceTransformer(kind(folder), compute_type="float32")
    vectors = loaded.encode(TEXTS)
    exact = np.stack(
        [reference.encode(tensors, ids, CONFIG).vector for ids in token_ids(loaded, TEXTS)]
    )
    errors = np.linalg.norm(vectors - exact, axis=1) / np.linalg.norm(exact, axis=1)
    assert errors.max() <= 1e-5
    quantised = SentenceTransformer(kind(folder)).encode(TEXTS)
    cosines = (quantised * exact).sum(axis=1)
    cosines /= np.linalg.norm(quantised, axis=1) * np.linalg.norm(exact, axis=1)
    assert cosines.min() >= 0.99


def token_ids(model: SentenceTransformer, texts: list[str]) -> list[list[int]]:
    features = model.tokenize(texts)
    return [
        row[mask == 1].tolist()
        for row, mask in zip(features["input_ids"], features["attention_mask"], strict=True)
    ]


def test_settings_of_the_folder(folder: Path) -> None:
    settings = {"prompts": {"q": "a "}, "default_prompt_name": "q", "similarity_fn_name": "dot"}
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**settings, "truncate_dim": 32}))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
    loaded = SentenceTransformer(folder)
    assert loaded.prompts == {"query": "", "document": "", "q": "a "}
    assert loaded.default_prompt_name == "q"
    assert loaded.similarity_fn_name == "dot"
    assert loaded.truncate_dim == loaded.get_embedding_dimension() == 32
    assert loaded.max_seq_length == 9
    loaded.max_seq_length = CONFIG.positions  # what the positions allow
    over = SentenceTransformer(folder, prompts={"q": "b "}, truncate_dim=8)
    assert over.encode("c").tobytes() == over.encode("b c", prompt="").tobytes()
    assert over.get_embedding_dimension() == 8


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def without_a_tensor(path: Path) -> None:
    save_file({name: array for name, array in tiny_tensors().items() if name != QUERY}, path)


def with_another_shape(path: Path) -> None:
    save_file({**tiny_tensors(), QUERY: np.zeros((64, 32), np.float32)}, path)


def with_another_dtype(path: Path) -> None:
    save_file({**tiny_tensors(), QUERY: np.zeros((64, 64), np.int64)}, path)


def with_nan(path: Path) -> None:
    save_file({**tiny_tensors(), QUERY: np.full((64, 64), np.nan, np.float32)}, path)


def with_lying_header(path: Path) -> None:
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header[QUERY]["shape"] = [2**40, 2**40]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(
    ("damage", "tensor"),
    [
        (cut_short, r"tensor '.+'"),
        (without_a_tensor, QUERY),
        (with_another_shape, rf"{QUERY}.*\[64, 32\].*\[64, 64\]"),
        (with_another_dtype, f"{QUERY}.*I64"),
        (with_nan, f"{QUERY}.*NaN"),
        (with_lying_header, QUERY),
    ],
)
def test_damaged_weights(
    folder: Path, damage: Callable[[Path], None], tensor: str, mmap: bool
) -> None:
    path = folder / "model.safetensors"
    damage(path)
    with pytest.raises(CheckpointError, match=f"{re.escape(str(path))}.*{tensor}"):
        SentenceTransformer(folder, mmap=mmap)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_missing_and_unreadable_files(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\xff\0{")
    with pytest.raises(ValueError, match=name):
        SentenceTransformer(folder)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{re.escape(str(folder))}.*{name}"):
        SentenceTransformer(folder)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"compute_type": "int4"}, ValueError, "'int4'.*int8, float32"),
        ({"source": "hub"}, ValueError, "'hub'.*cache"),
        ({"device": "cuda"}, ValueError, "'cuda'"),
        ({"truncate_dim": 0}, ValueError, "truncate_dim"),
        ({"threads": 0}, ValueError, "threads is 0"),
        ({"similarity_fn_name": "maxsim"}, ValueError, "'maxsim'"),
        ({"default_prompt_name": "q"}, ValueError, "default_prompt_name.*'q'"),
        ({"truncation": "left"}, ValueError, "'left'"),
        ({"errors": "ignore"}, ValueError, "'ignore'"),
        ({"backend": "onnx"}, ValueError, "backend='onnx'"),
        ({"modules": [1]}, ValueError, "modules"),
        ({"trust_remote_code": True}, ValueError, "trust_remote_code"),
        ({"model_kwargs": {"dtype": "float16"}}, ValueError, "compute_type"),
        ({"tokenizer_kwargs": {"padding": True}}, ValueError, "tokenizer_kwargs"),
        ({"processor_kwargs": {"padding": True}}, ValueError, "processor_kwargs"),
        ({"config_kwargs": {"a": 1}}, ValueError, "config_kwargs"),
        ({"model_card_data": object()}, ValueError, "model_card_data"),
        ({"colour": None}, TypeError, "'colour'"),
    ],
)
def test_refused_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SentenceTransformer(**options)


def test_mapped_weights(folder: Path) -> None:
    read, mapped = (SentenceTransformer(folder, mmap=mmap).encode(TEXTS) for mmap in (False, True))
    assert read.tobytes() == mapped.tobytes()


def test_nothing_else_is_read_later(folder: Path) -> None:
    loaded = SentenceTransformer(folder)
    before, name = loaded.encode(TEXTS), loaded.space_id
    shutil.rmtree(folder)
    assert loaded.encode(TEXTS).tobytes() == before.tobytes()
    assert loaded.space_id == name
