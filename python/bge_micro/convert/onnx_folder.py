"""Load a model folder whose weights are an ONNX export, as transformers.js repositories have it."""

from __future__ import annotations

from pathlib import Path

from bge_micro.checkpoint.config import EncoderConfig
from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.exports import find_export, loads_export
from bge_micro.checkpoint.folder import Checkpoint, Weights, load_folder
from bge_micro.choices import Task
from bge_micro.convert.onnx_model import OnnxModel
from bge_micro.convert.onnx_reader import read_onnx


def load_model_folder(
    path: str | Path,
    *,
    mmap: bool = False,
    file_name: str | None = None,
    task: Task = "vectors",
) -> Checkpoint:
    """Load a model folder from its safetensors or, without them, from its ONNX export.

    Config, tokenizer, pooling and limits are those of the folder. If it has no modules.json, it is
    pooled as the export computes it.

    Args:
        path: The folder.
        mmap: As for `load_folder`; exports are always read.
        file_name: An export in the folder or in its folder "onnx", which is used even if there are
            safetensors; None for safetensors, else model.onnx, else the only export.
        task: As for `load_folder`.

    Raises:
        ImportError: There is only an export, and the onnx package is not installed.
        MissingFileError: A file is missing.
        CheckpointError: A file is damaged, describes a model this engine cannot run, or contradicts
            another one.
    """
    exports: list[OnnxModel] = []

    def read_export(transformer: Path, config: EncoderConfig) -> Weights:
        export = read_onnx(find_export(transformer, file_name), task)
        _check_config(export, config, transformer)
        exports.append(export)
        return Weights(export.tensors, export.head, export.files)

    folder = Path(path)
    if not loads_export(folder, file_name):
        return load_folder(folder, mmap=mmap, task=task)
    checkpoint = load_folder(folder, mmap=mmap, read_weights=read_export, task=task)
    said = (folder / "modules.json").exists()
    try:
        pooled = exports[0].outputs.choose(
            checkpoint.pooling if said else None, checkpoint.normalize if said else None
        )
    except ValueError as error:
        raise CheckpointError(f"{folder / 'modules.json'}: {error}") from None
    return checkpoint._replace(pooling=pooled.pooling, normalize=pooled.normalize)


def _check_config(export: OnnxModel, config: EncoderConfig, transformer: Path) -> None:
    """Refuse an export of another model than config.json describes."""
    for field, found, expected in zip(config._fields, export.config, config, strict=True):
        close = field == "layer_norm_eps" and abs(found - expected) <= 1e-3 * expected
        if found != expected and not close:
            raise CheckpointError(
                f"{export.files[0].path}: {field} is {found}, but {transformer / 'config.json'} "
                f"says {expected}; they belong to different models."
            )
