"""Convert a model folder into a folder of our own format, in int8 or in floats."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint.config import EncoderConfig
from bge_micro.checkpoint.folder import Checkpoint
from bge_micro.checkpoint.modules import ModelSettings
from bge_micro.checkpoint.tensors import WORDS, Tensors
from bge_micro.checkpoint.tokenizer_sections import TOKENIZER_NAME
from bge_micro.choices import COMPUTE_TYPES, POOLINGS
from bge_micro.convert.folder_writer import FolderContents, write_folder
from bge_micro.convert.onnx_folder import load_model_folder
from bge_micro.convert.provenance import license_of, readme, source_of
from bge_micro.quantize import dequantize_checkpoint, quantize_checkpoint
from bge_micro.tokenization import Tokenizer, read_tokenizer

# Tokens of calibration texts that are used; their inputs to the widest layer take 200 MB.
CALIBRATION_TOKENS = 1 << 15


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
        source_folder: A model folder; weights in safetensors or an ONNX export.
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
    checkpoint = load_model_folder(source_folder)
    check_options(checkpoint.pooling, compute_type)
    source = source_of(checkpoint, repo_id, revision)
    contents = contents_of(checkpoint, source)
    return write_folder(out_folder, in_compute_type(contents, compute_type, calibration_texts))


def contents_of(checkpoint: Checkpoint, source: dict[str, str]) -> FolderContents:
    """Return all of a loaded folder, to be written again."""
    license = license_of(checkpoint)
    return FolderContents(
        config=checkpoint.config,
        tensors=checkpoint.tensors,
        tokenizer=read_tokenizer(checkpoint.tokenizer_file, checkpoint.normalizer),
        pooling=checkpoint.pooling,
        include_prompt=checkpoint.include_prompt,
        dense=checkpoint.dense,
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
    result[f"{WORDS}.weight"] = words.astype(np.float32) * tensors[f"{WORDS}.scale"][:, np.newaxis]
    return result


def check_options(pooling: str | None, compute_type: str) -> None:
    """Raise a ValueError unless both are known, or pooling is None."""
    for name, value, known in (
        ("pooling", pooling, (None, *POOLINGS)),
        ("compute_type", compute_type, COMPUTE_TYPES),
    ):
        if value not in known:
            raise ValueError(
                f"{name} is {value!r}, expected one of {', '.join(filter(None, known))}."
            )


def in_compute_type(
    contents: FolderContents, compute_type: str, calibration_texts: Sequence[str] | None
) -> FolderContents:
    """Return the contents with linear layers in a compute type; see `convert_folder`."""
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


def _narrowest(array: NDArray[Any]) -> NDArray[Any]:
    """Return a float matrix as float16 if that loses nothing, as for models published so."""
    if array.dtype != np.float32 or array.ndim != 2:
        return array
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array
