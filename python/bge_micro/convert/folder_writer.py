"""Write a model folder in our own format: all of it or nothing, and the same bytes every time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bge_micro import _core
from bge_micro.atomic import atomic_folder, naming
from bge_micro.checkpoint.config import EncoderConfig
from bge_micro.checkpoint.dense import Dense
from bge_micro.checkpoint.families import family_of
from bge_micro.checkpoint.modules import ModelSettings
from bge_micro.checkpoint.side_file import SIDE_FILE_NAME, SideFile, file_sha256
from bge_micro.checkpoint.tensors import TOKEN_TYPES, Tensors
from bge_micro.checkpoint.tokenizer_sections import TOKENIZER_NAME
from bge_micro.checkpoint.weight_files import WEIGHTS_NAME

# By the names that BERT's own tokenizer and the multilingual ones give them.
_SPECIAL_TOKENS = {
    "unk_token": ("[UNK]", "<unk>"),
    "sep_token": ("[SEP]", "</s>"),
    "pad_token": ("[PAD]", "<pad>"),
    "cls_token": ("[CLS]", "<s>"),
    "mask_token": ("[MASK]", "<mask>"),
}


@dataclass(frozen=True)
class License:
    """License of the weights.

    Attributes:
        summary: One line: the license's name and the copyright.
        text: The whole text, for the folder's LICENSE file.
    """

    summary: str
    text: str


@dataclass(frozen=True)
class FolderContents:
    """All that is written into a folder; the names are those of `Checkpoint`.

    Attributes:
        tokenizer: The contents of tokenizer.json as a JSON object.
        dense: The linear layers after the pooling.
        source: What the weights were made from, for bge_micro.json.
        readme: Provenance in words.
        license: License of the weights; None if not known.
    """

    config: EncoderConfig
    tensors: Tensors
    tokenizer: dict[str, Any]
    pooling: str
    include_prompt: bool
    dense: tuple[Dense, ...]
    normalize: bool
    max_seq_length: int
    settings: ModelSettings
    source: dict[str, str]
    readme: str
    license: License | None


def write_folder(out: str | Path, contents: FolderContents) -> Path:
    """Write a model folder.

    Args:
        out: Where to; must not exist, or be an empty folder.
        contents: What to write.

    Returns:
        The folder.

    Raises:
        FileExistsError: There is something at `out` already.
    """
    # Imported here because loading a model never needs it.
    from safetensors.numpy import save

    out = Path(out)
    with atomic_folder(out) as folder:
        config = contents.config.to_json()
        family = family_of(config, "config.json")
        tensors = {
            family.own_name(name): np.ascontiguousarray(array)
            for name, array in contents.tensors.items()
            if family.token_types or name != TOKEN_TYPES
        }
        # transformers reads only files that name their framework; "pt" says: rows are outputs.
        weights = save(tensors, metadata={"format": "pt"})
        _write_bytes(folder / WEIGHTS_NAME, weights)
        _write_json(folder / TOKENIZER_NAME, contents.tokenizer, indent=None)
        _write_json(folder / "config.json", config)
        if not any(array.dtype == np.int8 for array in tensors.values()):
            # A folder of floats is one that transformers loads, which needs this to do so.
            _write_json(folder / "tokenizer_config.json", _tokenizer_config(contents))
        _write_modules(folder, contents)
        for path, layer in zip(_dense_paths(contents), contents.dense, strict=True):
            _write_json(folder / path / "config.json", layer.config())
            _write_bytes(folder / path / WEIGHTS_NAME, save(layer.tensors(), {"format": "pt"}))
        _write_json(folder / SIDE_FILE_NAME, _side_file(folder, contents).to_json())
        _write_text(folder / "README.md", contents.readme)
        if contents.license is not None:
            _write_text(folder / "LICENSE", contents.license.text)
    return out


def _write_modules(folder: Path, contents: FolderContents) -> None:
    """Write modules.json and the modules' configs as sentence-transformers does."""
    names = ["Transformer", "Pooling", *("Dense" for _ in contents.dense)]
    if contents.normalize:
        names.append("Normalize")
    paths = ["", *(f"{index}_{name}" for index, name in enumerate(names) if index)]
    modules = [
        {
            "idx": index,
            "name": str(index),
            "path": path,
            "type": f"sentence_transformers.models.{name}",
        }
        for index, (name, path) in enumerate(zip(names, paths, strict=True))
    ]
    _write_json(folder / "modules.json", modules)
    for path in paths[1:]:
        (folder / path).mkdir()
    modes = {
        "pooling_mode_cls_token": "cls",
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_max_tokens": "max",
        "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    }
    flags = {flag: mode == contents.pooling for flag, mode in modes.items()}
    pooling: dict[str, Any] = {"word_embedding_dimension": contents.config.hidden, **flags}
    if not contents.include_prompt:
        pooling["include_prompt"] = False
    _write_json(folder / paths[1] / "config.json", pooling)
    if contents.normalize:
        # Git and the hub's cache keep no empty folders.
        _write_json(folder / paths[-1] / "config.json", {})
    limit = {"max_seq_length": contents.max_seq_length, "do_lower_case": False}
    _write_json(folder / "sentence_bert_config.json", limit)
    settings = contents.settings
    _write_json(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "SentenceTransformer",
            "prompts": settings.prompts,
            "default_prompt_name": settings.default_prompt_name,
            "similarity_fn_name": settings.similarity_fn_name,
        }
        | ({} if settings.truncate_dim is None else {"truncate_dim": settings.truncate_dim}),
    )


def _dense_paths(contents: FolderContents) -> list[str]:
    """Return the folders of the Dense modules, which follow Transformer and Pooling."""
    return [f"{index}_Dense" for index, _ in enumerate(contents.dense, start=2)]


def _tokenizer_config(contents: FolderContents) -> dict[str, Any]:
    # transformers adds tokens that it is told of and the tokenizer lacks, behind all others.
    known = {token["content"] for token in contents.tokenizer.get("added_tokens", [])}
    special = {
        role: name for role, names in _SPECIAL_TOKENS.items() for name in names if name in known
    }
    # RoBERTa's models have one type, and their tokenizers give none.
    token_types = ["token_type_ids"] if contents.config.token_types > 1 else []
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": contents.max_seq_length,
        "model_input_names": ["input_ids", *token_types, "attention_mask"],
        **special,
    }


def _side_file(folder: Path, contents: FolderContents) -> SideFile:
    dense = (f"{path}/{WEIGHTS_NAME}" for path in _dense_paths(contents))
    names = (WEIGHTS_NAME, TOKENIZER_NAME, *dense)
    checksums = {name: file_sha256(folder / name) for name in names}
    summary = None if contents.license is None else contents.license.summary
    return SideFile(
        source=contents.source,
        sha256=checksums,
        license=summary,
        numerics_version=_core.numerics_version,
    )


def _write_json(path: Path, value: object, indent: int | None = 2) -> None:
    separators = (",", ": ") if indent else (",", ":")
    _write_text(
        path, json.dumps(value, ensure_ascii=False, indent=indent, separators=separators) + "\n"
    )


def _write_text(path: Path, text: str) -> None:
    _write_bytes(path, text.encode("utf-8"))  # the same line ends on every system


def _write_bytes(path: Path, data: bytes) -> None:
    with naming(path):  # a full disk does not say which file did not fit
        path.write_bytes(data)
