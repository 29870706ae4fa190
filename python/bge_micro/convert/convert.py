"""Convert an ONNX export, a GGUF file or a model folder into a folder of our own format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint.config import EncoderConfig
from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.folder import TOKENIZER_NAME, Checkpoint, load_folder
from bge_micro.checkpoint.json_file import read_json_object
from bge_micro.checkpoint.modules import POOLINGS, ModelSettings
from bge_micro.checkpoint.side_file import COMPUTE_TYPES, file_sha256
from bge_micro.checkpoint.tensors import WORDS, Tensors
from bge_micro.convert.folder_writer import FolderContents, License, write_folder
from bge_micro.convert.gguf_reader import read_gguf
from bge_micro.convert.onnx_reader import read_onnx
from bge_micro.convert.provenance import license_of, readme, source_of
from bge_micro.quantize import dequantize_checkpoint, quantize_checkpoint
from bge_micro.tokenization import Tokenizer, build_wordpiece_tokenizer, read_vocab

# Tokens of calibration texts that are used; their inputs to the widest layer take 200 MB.
CALIBRATION_TOKENS = 1 << 15


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
    compute_type: str = "int8",
    calibration_texts: Sequence[str] | None = None,
) -> Path:
    """Convert an ONNX export of a BERT encoder, in floats or dynamically quantised.

    Quantised linear layers' integers stay exactly the export's, unless their zero points are not in
    the middle; an export's one scale a matrix is repeated for every output channel.

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
        compute_type: As for `convert_folder`.
        calibration_texts: As for `convert_folder`.

    Returns:
        The folder.

    Raises:
        ImportError: The onnx package is not installed.
        MissingFileError: A file is missing.
        CheckpointError: The export is not of the expected kind, or the vocabulary not its own.
        ValueError: An option is unknown, or the vocabulary is malformed.
        FileExistsError: There is something at `out_folder` already.
    """
    onnx_path, vocab_path = Path(onnx_path), Path(vocab_path)
    _check_options(pooling, compute_type)
    config, tensors = read_onnx(onnx_path)
    source = {
        "repo_id": repo_id,
        "revision": revision,
        "file": repo_file or onnx_path.name,
        "sha256": file_sha256(onnx_path),
        "vocab_sha256": file_sha256(vocab_path),
    }
    tokenizer = _tokenizer_of_vocab(read_vocab(vocab_path), config, vocab_path)
    contents = _contents_of_file(config, tensors, tokenizer, pooling, normalize, source, license)
    return write_folder(out_folder, _in_compute_type(contents, compute_type, calibration_texts))


def convert_gguf(
    gguf_path: str | Path,
    out_folder: str | Path,
    *,
    normalize: bool,
    pooling: str | None = None,
    repo_id: str | None = None,
    revision: str | None = None,
    compute_type: str = "int8",
    calibration_texts: Sequence[str] | None = None,
) -> Path:
    """Convert a GGUF file of a BERT encoder.

    Args:
        gguf_path: The file; F32, F16, BF16 or Q8_0.
        out_folder: Where to; must not exist, or be an empty folder.
        normalize: Whether the model brings its vectors to unit length, of which the file does not
            speak: it does if the model has a Normalize module.
        pooling: One of `POOLINGS`; None for what the file says.
        repo_id: The repository the file came from, for the record.
        revision: Its revision, for the record.
        compute_type: As for `convert_folder`.
        calibration_texts: As for `convert_folder`.

    Returns:
        The folder.

    Raises:
        ImportError: The gguf package is not installed.
        CheckpointError: The file is damaged or holds another kind of model.
        ValueError: An option is unknown, or the pooling is not known.
        FileExistsError: There is something at `out_folder` already.
    """
    gguf_path = Path(gguf_path)
    model = read_gguf(gguf_path)
    if pooling is None and model.pooling is None:
        raise ValueError(f"{gguf_path}: the file does not say how the model pools; say pooling.")
    pooling = pooling or str(model.pooling)
    _check_options(pooling, compute_type)
    source = {"file": gguf_path.name, "sha256": file_sha256(gguf_path)}
    source |= {"repo_id": repo_id} if repo_id else {}
    source |= {"revision": revision} if revision else {}
    tokenizer = _tokenizer_of_vocab(model.vocab, model.config, gguf_path)
    contents = _contents_of_file(
        model.config, model.tensors, tokenizer, pooling, normalize, source, None
    )
    return write_folder(out_folder, _in_compute_type(contents, compute_type, calibration_texts))


def convert_folder(
    source_folder: str | Path,
    out_folder: str | Path,
    *,
    compute_type: str = "int8",
    calibration_texts: Sequence[str] | None = None,
    repo_id: str | None = None,
    revision: str | None = None,
) -> Path:
    """Convert a model folder, quantising its linear layers or turning them back into floats.

    Without calibration texts a new int8 folder gives the vectors of the old one loaded as int8, bit
    for bit. All tensors but the linear layers' are kept.

    Args:
        source_folder: A folder that `load_folder` reads.
        out_folder: Where to; must not exist, or be an empty folder.
        compute_type: "int8" or "float32". A float32 folder can be read by transformers too.
        calibration_texts: Texts like those the model is for, some hundreds, for a better int8: see
            `bge_micro.quantize`. The first 32,768 tokens are used.
        repo_id: The repository the model came from, for the record.
        revision: Its revision, for the record.

    Returns:
        The folder.

    Raises:
        CheckpointError: The source folder cannot be used.
        ValueError: `compute_type` is unknown, or there is nothing to calibrate.
        FileExistsError: There is something at `out_folder` already.
    """
    checkpoint = load_folder(source_folder)
    _check_options(checkpoint.pooling, compute_type)
    source = source_of(checkpoint, repo_id, revision)
    contents = contents_of(checkpoint, source)
    return write_folder(out_folder, _in_compute_type(contents, compute_type, calibration_texts))


def contents_of(checkpoint: Checkpoint, source: dict[str, str]) -> FolderContents:
    """Return all of a loaded folder, to be written again."""
    license = license_of(checkpoint)
    return FolderContents(
        config=checkpoint.config,
        tensors=checkpoint.tensors,
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
        readme=readme(source, license),
        license=license,
    )


def float_tensors(tensors: Tensors, config: EncoderConfig) -> Tensors:
    """Return the tensors with linear layers and words in floats, as other programs read them."""
    tensors = dequantize_checkpoint(tensors, config)
    words = tensors[f"{WORDS}.weight"]
    if words.dtype != np.int8:
        return tensors
    result = {name: array for name, array in tensors.items() if name != f"{WORDS}.scale"}
    result[f"{WORDS}.weight"] = words.astype(np.float32) * tensors[f"{WORDS}.scale"]
    return result


def _check_options(pooling: str, compute_type: str) -> None:
    for name, value, known in (
        ("pooling", pooling, POOLINGS),
        ("compute_type", compute_type, COMPUTE_TYPES),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}, expected one of {', '.join(known)}.")


def _in_compute_type(
    contents: FolderContents, compute_type: str, calibration_texts: Sequence[str] | None
) -> FolderContents:
    config = contents.config
    if compute_type == "float32":
        if calibration_texts is not None:
            raise ValueError("calibration texts are for int8; float32 has nothing to calibrate.")
        tensors = float_tensors(contents.tensors, config)
    elif calibration_texts is None:
        tensors = quantize_checkpoint(contents.tensors, config)
    else:
        _refuse_quantised(contents.tensors)
        tokenizer = Tokenizer.from_json(json.dumps(contents.tokenizer), source=TOKENIZER_NAME)
        batch = tokenizer.ragged(calibration_texts, contents.max_seq_length)
        tensors = quantize_checkpoint(contents.tensors, config, batch.first(CALIBRATION_TOKENS))
    return replace(contents, tensors={name: _narrowest(array) for name, array in tensors.items()})


def _refuse_quantised(tensors: Tensors) -> None:
    if any(name.endswith(".weight_scale") for name in tensors):
        raise ValueError(
            "the model is in int8 already, which calibration cannot mend; give the float model "
            "that it was made from."
        )


def _contents_of_file(
    config: EncoderConfig,
    tensors: Tensors,
    tokenizer: dict[str, Any],
    pooling: str,
    normalize: bool,
    source: dict[str, str],
    license: License | None,
) -> FolderContents:
    """Return the contents for a file that holds a bare encoder."""
    return FolderContents(
        config=config,
        tensors=tensors,
        tokenizer=tokenizer,
        pooling=pooling,
        include_prompt=True,
        normalize=normalize,
        max_seq_length=config.positions,
        settings=ModelSettings({}, None, "cosine", None),
        source=source,
        readme=readme(source, license),
        license=license,
    )


def _tokenizer_of_vocab(vocab: list[str], config: EncoderConfig, where: Path) -> dict[str, Any]:
    if len(vocab) != config.vocab:
        raise CheckpointError(
            f"{where}: holds {len(vocab)} tokens, but the model embeds {config.vocab}; "
            "expected the same model's vocabulary."
        )
    tokenizer: dict[str, Any] = json.loads(build_wordpiece_tokenizer(vocab).to_str())
    return tokenizer


def _tokenizer_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the tokenizer without the padding and truncation that may be stored with it."""
    if checkpoint.tokenizer_file.name != TOKENIZER_NAME:
        vocab = read_vocab(checkpoint.tokenizer_file)
        return _tokenizer_of_vocab(vocab, checkpoint.config, checkpoint.tokenizer_file)
    return read_json_object(checkpoint.tokenizer_file) | {"padding": None, "truncation": None}


def _narrowest(array: NDArray[Any]) -> NDArray[Any]:
    """Return a float matrix as float16 if that loses nothing, as for models published so."""
    if array.dtype != np.float32 or array.ndim != 2:
        return array
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array
