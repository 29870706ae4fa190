"""Write a loaded model for other programs: a Hugging Face folder, or an ONNX file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bge_micro.atomic import atomic_file
from bge_micro.checkpoint.folder import Checkpoint
from bge_micro.checkpoint.modules import ModelSettings
from bge_micro.checkpoint.tensors import Tensors
from bge_micro.convert.convert import contents_of, float_tensors
from bge_micro.convert.folder_writer import write_folder
from bge_micro.convert.onnx_writer import write_onnx
from bge_micro.convert.provenance import source_of


def save_folder(
    checkpoint: Checkpoint,
    out: str | Path,
    *,
    tensors: Tensors | None = None,
    settings: ModelSettings | None = None,
    max_seq_length: int | None = None,
) -> Path:
    """Write a model as sentence-transformers, transformers and bge-micro load it.

    Args:
        checkpoint: The model.
        out: Where to; must not exist, or be an empty folder.
        tensors: int8 tensors, for a folder that only bge-micro loads; None for floats.
        settings: Prompts and the like; None for the checkpoint's.
        max_seq_length: Tokens of a text that are used; None for the checkpoint's.

    Returns:
        The folder.

    Raises:
        FileExistsError: There is something at `out` already.
    """
    contents = contents_of(checkpoint, source_of(checkpoint, None, None))
    contents = replace(
        contents,
        tensors=tensors or float_tensors(checkpoint.tensors, checkpoint.config),
        settings=settings or contents.settings,
        max_seq_length=max_seq_length or contents.max_seq_length,
    )
    return write_folder(out, contents)


def export_onnx(checkpoint: Checkpoint, out: str | Path) -> Path:
    """Write a model's encoder, pooling and normalisation as an ONNX file in floats.

    Args:
        checkpoint: The model.
        out: The file; must not exist.

    Returns:
        The file.

    Raises:
        ImportError: The onnx package is not installed.
        FileExistsError: The file exists.
        ValueError: The model leaves prompts out of the pooling, which a graph cannot know.
    """
    out = Path(out)
    if out.exists():
        raise FileExistsError(f"{out}: exists already; remove it first.")
    if not checkpoint.include_prompt:
        raise ValueError("the pooling leaves prompts out, which an ONNX graph cannot know of.")
    tensors = float_tensors(checkpoint.tensors, checkpoint.config)
    with atomic_file(out) as file:
        write_onnx(
            file,
            tensors,
            checkpoint.config,
            checkpoint.pooling,
            checkpoint.normalize,
            checkpoint.dense,
        )
    return out
