"""Offsets to an 8-bit export: the place of each original weight within its cell.

An export rounds a weight to step * q with an integer q, and so loses its place in the cell of width
`step` around step * q. An offsets file is a safetensors file with an int8 tensor d for
each of the export's matrices: the weight is step * (q + d / 254). As |d| is at most 126, it is less
than half a step from the export's, and so is rounded to the same q. The metadata name the export.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.safetensors_file import TensorFile, open_tensors
from bge_micro.checkpoint.side_file import file_sha256
from bge_micro.checkpoint.tensors import WORDS, listed
from bge_micro.convert.onnx_model import OnnxModel, Quantised

# Offsets of 127 would reach the border between two cells.
MOST = 126
_STEPS = 254  # offsets in a cell

_EXPORT, _FORMULA = "export_sha256", "weight"
FORMULA = "step * (q + d / 254), q the export's integer less its zero point"


def add_offsets(model: OnnxModel, export: Path, offsets_path: Path) -> OnnxModel:
    """Return the model with the offsets' weights, float32, instead of the export's integers.

    Args:
        model: What was read from the export.
        export: The export's file.
        offsets_path: The offsets' file.

    Returns:
        The model in floats: no tensor of its export's integers is left.

    Raises:
        MissingFileError: The offsets' file is not there.
        CheckpointError: It is damaged, belongs to another export, or does not say the offsets of
            each matrix; the message says what does not fit.
    """
    offsets = read_offsets(offsets_path, model.quantised, file_sha256(export))
    scales = {f"{name}_scale" for name in model.quantised} | {f"{WORDS}.scale"}
    tensors = {name: array for name, array in model.tensors.items() if name not in scales}
    for name, quantised in model.quantised.items():
        tensors[name] = _weights(quantised, offsets[name])
    return model._replace(tensors=tensors, quantised={})


def read_offsets(
    path: Path, quantised: Mapping[str, Quantised], export_sha256: str
) -> Mapping[str, NDArray[np.int8]]:
    """Read an offsets file and check all of it.

    Args:
        path: The file.
        quantised: The export's matrices, for each of which there must be offsets.
        export_sha256: SHA-256 of the export, to which the file must belong.

    Returns:
        int8 in [-126, 126] of each matrix's shape, by its name.

    Raises:
        MissingFileError: The file is not there.
        CheckpointError: It is not such a file; the message says what does not fit.
    """
    file = open_tensors(path)
    _check_metadata(file, export_sha256)
    for names, what in (
        (sorted(quantised.keys() - file.keys()), "missing"),
        (sorted(file.keys() - quantised.keys()), "not a quantised matrix of the export"),
    ):
        if names:
            raise CheckpointError(
                f"{path}: {listed(names)} {what}; expected offsets for each of the export's "
                f"{len(quantised)} quantised matrices, and nothing else."
            )
    for name, info in file.infos.items():
        shape = quantised[name].integers.shape
        if info.dtype != "I8" or info.shape != shape:
            raise CheckpointError(
                f"{path}, tensor {name!r}: is {info.dtype} of shape {list(info.shape)}, expected "
                f"I8 of shape {list(shape)}, the matrix's own."
            )
    for name, offsets in file.items():
        if offsets.size and (offsets.min() < -MOST or offsets.max() > MOST):
            raise CheckpointError(
                f"{path}, tensor {name!r}: holds values from {offsets.min()} to {offsets.max()}, "
                f"expected offsets within the cell, in [-{MOST}, {MOST}]."
            )
    return file


def _check_metadata(file: TensorFile, export_sha256: str) -> None:
    expected = {_FORMULA: FORMULA, _EXPORT: export_sha256}
    why = {
        _FORMULA: "it is no offsets file, or of a form that this version does not read",
        _EXPORT: "the offsets belong to another export than the one given",
    }
    for key, value in expected.items():
        found = file.metadata.get(key)
        if found != value:
            raise CheckpointError(
                f"{file.path}: its metadata say {key} is {found!r}, expected {value!r}: {why[key]}."
            )


def _weights(quantised: Quantised, offsets: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return the weights, in float64 and rounded once: the same bits on every CPU."""
    positions = quantised.integers.astype(np.float64)
    positions += offsets / np.float64(_STEPS)
    positions *= quantised.scale.astype(np.float64)[:, np.newaxis]
    return positions.astype(np.float32)
