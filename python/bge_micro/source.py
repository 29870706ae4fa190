"""Load a model from its source: find it, read it, and pack it for the core."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bge_micro.checkpoint import load_folder, locate_model
from bge_micro.checkpoint.exports import loads_export
from bge_micro.choices import Task
from bge_micro.pipeline import Pipeline
from bge_micro.runtime import choose_isa


class ModelSource(NamedTuple):
    """The source of a pipeline: a pickled model stores this instead of weights."""

    model_name_or_path: str | Path
    cache_folder: str | Path | None
    revision: str | None
    source: str | None
    compute_type: str
    mmap: bool
    local_files_only: bool
    token: str | bool | None
    verify: bool = False
    file_name: str | None = None
    task: Task = "vectors"

    def __repr__(self) -> str:
        """Leave the token out."""
        return f"{type(self).__name__}({self.model_name_or_path!r}, ...)"

    def load(self) -> Pipeline:
        """Load it.

        Raises:
            FileNotFoundError: No complete model was found.
            CheckpointError: A file of the model is damaged, or of another kind of model.
            ValueError: The compute type is unknown.
        """
        location = locate_model(
            self.model_name_or_path,
            revision=self.revision,
            source=self.source,
            cache_folder=self.cache_folder,
            token=self.token,
            local_files_only=self.local_files_only,
            file_name=self.file_name,
            task=self.task,
        )
        # No program rewrites the bundled copy, so it is safe to map.
        mmap = location.bundled or self.mmap
        if not location.bundled and loads_export(location.folder, self.file_name):
            from bge_micro.convert.onnx_folder import load_model_folder  # 50 ms that few need

            checkpoint = load_model_folder(
                location.folder, mmap=mmap, file_name=self.file_name, task=self.task
            )
        else:
            checkpoint = load_folder(location.folder, mmap=mmap, task=self.task)
        if self.verify:
            from bge_micro.checkpoint.integrity import verify  # most programs need none of it

            verify(checkpoint)
        return Pipeline(checkpoint, self.compute_type, choose_isa().value)
