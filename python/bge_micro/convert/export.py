"""Convert an ONNX export, or a model folder, into a folder of our own format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.folder import TOKENIZER_NAME, Checkpoint, load_folder
from bge_micro.checkpoint.json_file import read_json_object
from bge_micro.checkpoint.modules import POOLINGS, ModelSettings
from bge_micro.checkpoint.side_file import COMPUTE_TYPES, file_sha256
from bge_micro.checkpoint.tensors import WORDS, Tensors
from bge_micro.convert.folder_writer import FolderContents, License, write_folder
from bge_micro.convert.onnx_reader import read_quantized_export
from bge_micro.quantize import dequantize_checkpoint, quantize_checkpoint
from bge_micro.tokenization import build_wordpiece_tokenizer, read_vocab

_LICENSE_NAME = "LICENSE"


def convert_onnx(
    onnx_path: str | Path,
    vocab_path: str | Path,
    out_folder: str | Path,
    *,
    repo_id: str,
    revision: str,
    repo_file: str | None = None,
    pooling: str = "mean",
    normalize: bool = False,
    license: License | None = None,
) -> Path:
    """Convert a dynamically quantised ONNX export of a BERT encoder.

    The linear layers' integers stay exactly the export's, with its one scale a matrix repeated for
    every output channel; words stay integers too.

    Args:
        onnx_path: The export.
        vocab_path: The model's vocab.txt; a tokenizer as for BERT uncased is made from it.
        out_folder: Where to; must not exist, or be an empty folder.
        repo_id: The repository the export came from, for the record.
        revision: Its revision, for the record.
        repo_file: The export's path in the repository; None for its file name.
        pooling: How the model pools, which an export does not say; one of `POOLINGS`.
        normalize: Whether the model brings its vectors to unit length; an export is silent on it.
        license: License of the weights.

    Returns:
        The folder.

    Raises:
        ImportError: The onnx package is not installed.
        MissingFileError: A file is missing.
        CheckpointError: The export is not of the expected kind, or the vocabulary not its own.
        ValueError: `pooling` is unknown, or the vocabulary is malformed.
        FileExistsError: There is something at `out_folder` already.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling is {pooling!r}, expected one of {', '.join(POOLINGS)}.")
    onnx_path = Path(onnx_path)
    config, tensors = read_quantized_export(onnx_path)
    tokenizer = _tokenizer_from_vocab(Path(vocab_path))
    tokens = len(tokenizer["model"]["vocab"])
    if tokens != config.vocab:
        raise CheckpointError(
            f"{vocab_path}: holds {tokens} tokens, but {onnx_path} embeds {config.vocab}; "
            "expected the same model's vocabulary."
        )
    source = {
        "repo_id": repo_id,
        "revision": revision,
        "file": repo_file or onnx_path.name,
        "sha256": file_sha256(onnx_path),
        "vocab_sha256": file_sha256(Path(vocab_path)),
    }
    contents = FolderContents(
        config=config,
        tensors=tensors,
        tokenizer=tokenizer,
        pooling=pooling,
        include_prompt=True,
        normalize=normalize,
        max_seq_length=config.positions,
        settings=ModelSettings({}, None, "cosine", None),
        source=source,
        readme=_readme(source, license),
        license=license,
    )
    return write_folder(out_folder, contents)


def convert_folder(
    source_folder: str | Path,
    out_folder: str | Path,
    *,
    compute_type: str = "int8",
    repo_id: str | None = None,
    revision: str | None = None,
) -> Path:
    """Convert a model folder, quantising its linear layers or turning them back into floats.

    int8 is plain rounding with one scale per output channel, and all other tensors are kept: the
    new folder gives the vectors of the old one loaded as int8, bit for bit.

    Args:
        source_folder: A folder that `load_folder` reads.
        out_folder: Where to; must not exist, or be an empty folder.
        compute_type: "int8" or "float32". A float32 folder can be read by transformers too.
        repo_id: The repository the model came from, for the record.
        revision: Its revision, for the record.

    Returns:
        The folder.

    Raises:
        CheckpointError: The source folder cannot be used.
        ValueError: `compute_type` is unknown.
        FileExistsError: There is something at `out_folder` already.
    """
    if compute_type not in COMPUTE_TYPES:
        raise ValueError(
            f"compute_type is {compute_type!r}, expected one of {', '.join(COMPUTE_TYPES)}."
        )
    checkpoint = load_folder(source_folder)
    if compute_type == "int8":
        tensors = quantize_checkpoint(checkpoint.tensors, checkpoint.config)
    else:
        tensors = _float_words(dequantize_checkpoint(checkpoint.tensors, checkpoint.config))
    source = _source_of(checkpoint, repo_id, revision)
    license = _license_of(checkpoint)
    contents = FolderContents(
        config=checkpoint.config,
        tensors={name: _narrowest(array) for name, array in tensors.items()},
        tokenizer=_tokenizer_of(checkpoint),
        pooling=checkpoint.pooling,
        include_prompt=checkpoint.include_prompt,
        normalize=checkpoint.normalize,
        max_seq_length=checkpoint.max_seq_length,
        settings=ModelSettings(
            checkpoint.prompts,
            checkpoint.default_prompt_name,
            checkpoint.similarity_fn_name,
            checkpoint.truncate_dim,
        ),
        source=source,
        readme=_readme(source, license),
        license=license,
    )
    return write_folder(out_folder, contents)


def _tokenizer_from_vocab(path: Path) -> dict[str, Any]:
    tokenizer: dict[str, Any] = json.loads(build_wordpiece_tokenizer(read_vocab(path)).to_str())
    return tokenizer


def _tokenizer_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the tokenizer without the padding and truncation that may be stored with it."""
    if checkpoint.tokenizer_file.name != TOKENIZER_NAME:
        return _tokenizer_from_vocab(checkpoint.tokenizer_file)
    return read_json_object(checkpoint.tokenizer_file) | {"padding": None, "truncation": None}


def _float_words(tensors: Tensors) -> Tensors:
    """Return the tensors with word embeddings in float32, which the running model never needs."""
    words = tensors[f"{WORDS}.weight"]
    if words.dtype != np.int8:
        return tensors
    result = {name: array for name, array in tensors.items() if name != f"{WORDS}.scale"}
    result[f"{WORDS}.weight"] = words.astype(np.float32) * tensors[f"{WORDS}.scale"]
    return result


def _narrowest(array: NDArray[Any]) -> NDArray[Any]:
    """Return a float matrix as float16 if that loses nothing, as for models published so."""
    if array.dtype != np.float32 or array.ndim != 2:
        return array
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array


def _source_of(checkpoint: Checkpoint, repo_id: str | None, revision: str | None) -> dict[str, str]:
    """Return what is known of the weights' origin: what the caller says, else the folder."""
    source = {
        "file": ", ".join(path.name for path in checkpoint.weight_files),
        "sha256": checkpoint.weights_sha256,
    }
    if repo_id is None and checkpoint.side_file is not None:
        return checkpoint.side_file.source
    if repo_id is not None:
        source["repo_id"] = repo_id
    if revision is not None:
        source["revision"] = revision
    return source


def _license_of(checkpoint: Checkpoint) -> License | None:
    path = checkpoint.folder / _LICENSE_NAME
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    known = checkpoint.side_file.license if checkpoint.side_file is not None else None
    return License(summary=known or text.strip().partition("\n")[0], text=text)


def _readme(source: dict[str, str], license: License | None) -> str:
    facts = "".join(f"- {name}: {value}\n" for name, value in source.items())
    terms = "not known" if license is None else license.summary
    return f"""\
# A sentence encoder in bge-micro's format

Converted by `bge-micro convert` from:

{facts}
License of the weights: {terms}.

`model.safetensors` holds int8 matrices with one scale per output channel (or float matrices) under
the usual BERT names; `bge_micro.json` holds checksums. Load the folder with
`bge_micro.SentenceTransformer(path)`.
"""
