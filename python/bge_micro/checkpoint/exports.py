"""ONNX exports in a model folder: where they are and which one is meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from bge_micro.checkpoint.errors import CheckpointError, MissingFileError
from bge_micro.checkpoint.weight_files import has_weights

# Where sentence-transformers and optimum put exports, and the one that they take unless told.
_SUBFOLDER = "onnx"
_DEFAULT_NAME = "model.onnx"


def loads_export(folder: Path, file_name: str | None) -> bool:
    """Tell whether a model's weights are an export: one is named, or there are no safetensors."""
    return takes_export(file_name, folder, folder / "0_Transformer")


def takes_export(file_name: str | None, *transformers: Path) -> bool:
    """Tell the same of the folders in which the encoder's files may be."""
    return file_name is not None or (
        any(map(exports_in, transformers)) and not any(map(has_weights, transformers))
    )


def find_export(transformer: Path, file_name: str | None) -> Path:
    """Return the export of an encoder's folder that is meant.

    Args:
        transformer: The folder.
        file_name: Its path in the folder or in the folder's "onnx"; None for model.onnx, else the
            only one.

    Raises:
        MissingFileError: It is not there, or there are several and none is named.
        CheckpointError: `file_name` is no path of an export.
    """
    found = exports_in(transformer)
    names = [path.relative_to(transformer).as_posix() for path in found]
    return transformer / choose_export(names, file_name, str(transformer))


def exports_in(transformer: Path) -> list[Path]:
    """Return the ONNX files of a folder and of its folder "onnx"."""
    return sorted([*transformer.glob(f"{_SUBFOLDER}/*.onnx"), *transformer.glob("*.onnx")])


def choose_export(names: Sequence[str], file_name: str | None, where: str) -> str:
    """Return which of some exports is meant; arguments and errors are those of `find_export`.

    Args:
        names: The exports' paths in the encoder's folder.
        file_name: As for `find_export`.
        where: The folder or repository, for error messages.
    """
    listed = ", ".join(names) or "none"
    if file_name is None:
        usual = [name for name in names if PurePosixPath(name).name == _DEFAULT_NAME]
        if usual or len(names) == 1:
            return [*usual, *names][0]
        raise MissingFileError(f"{where}: choose one of its exports by file_name=: {listed}.")
    path = PurePosixPath(file_name)
    if path.suffix != ".onnx" or path.is_absolute() or ".." in path.parts:
        raise CheckpointError(
            f"file_name is {file_name!r}, expected an .onnx file inside the model folder, such as "
            f"{_SUBFOLDER}/{_DEFAULT_NAME}."
        )
    for name in (file_name, f"{_SUBFOLDER}/{file_name}"):
        if name in names:
            return name
    raise MissingFileError(f"{where}: has no export {file_name!r}; it has {listed}.")
