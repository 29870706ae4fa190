"""Find the folder of the model that a user names."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bge_micro.checkpoint.bundled import BUNDLED_NAME, BUNDLED_REPO_ID, bundled_folder
from bge_micro.choices import Task

# In sentence-transformers a name without an organisation means one of its own models.
_ORGANISATIONS: dict[Task, str] = {"vectors": "sentence-transformers", "scores": "cross-encoder"}


class Location(NamedTuple):
    """Where a model was found.

    Attributes:
        folder: The model folder.
        bundled: Whether it is the copy inside the package. No program rewrites it, so it may be
            mapped.
    """

    folder: Path
    bundled: bool


def absolute_name(name_or_path: str | Path) -> str | Path:
    """Return a folder's absolute path; a name that is no folder stays as it is.

    A program in another working directory then finds the same model.
    """
    if isinstance(name_or_path, Path) or (name_or_path and Path(name_or_path).is_dir()):
        return type(name_or_path)(Path(name_or_path).absolute())
    return name_or_path


def locate_model(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    source: str | None = None,
    cache_folder: str | Path | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    file_name: str | None = None,
    task: Task = "vectors",
) -> Location:
    """Find a model, or fetch it from the hub.

    A name is a folder if there is one of that name, and a Path always is; `load_folder` says what
    is wrong with one that is a file. The names ``bge-micro-v2`` and ``TaylorAI/bge-micro-v2``
    without such a folder mean the bundled copy. With a revision, or with the source "cache", they
    mean a complete snapshot in the local Hugging Face cache instead. Any other name is a hub name.
    Its model is fetched unless the source is "cache" or `local_files_only` or the environment says
    offline.

    Args:
        name_or_path: A folder, or a name on the Hugging Face hub.
        revision: Branch, tag or full commit hash on the hub.
        source: None, or "cache" to use only the Hugging Face cache.
        cache_folder: The cache to use; None for the usual place.
        token: A token for private models.
        local_files_only: Do not use the network.
        file_name: The ONNX export that is wanted, as for `exports.find_export`.
        task: What the model is for: whose models names without an organisation mean.

    Returns:
        The folder and whether it is the bundled one.

    Raises:
        MissingFileError: No complete model was found; the message says where.
        ValueError: The name is empty, `source` is unknown, or `revision` was given for a folder.
    """
    if source not in (None, "cache"):
        raise ValueError(f"source is {source!r}, expected None or 'cache'.")
    name = str(name_or_path)
    if not name:
        raise ValueError("the model's name is empty, expected a folder or a hub name.")
    from_cache = source == "cache" or revision is not None
    offline = source == "cache" or local_files_only
    is_folder = not from_cache and (isinstance(name_or_path, Path) or Path(name).is_dir())
    if name in (BUNDLED_NAME, BUNDLED_REPO_ID) and not is_folder:
        offline = True
        if not from_cache:
            return Location(bundled_folder(), bundled=True)
        name = BUNDLED_REPO_ID
    # Imported here, because the bundled model does not need it, and importing it takes time.
    from bge_micro.checkpoint.hub import resolve_snapshot
    from bge_micro.checkpoint.hub_cache import is_repo_id

    may_be_hub_name = isinstance(name_or_path, str) and is_repo_id(name)
    if from_cache and not may_be_hub_name:
        raise ValueError(
            f"{name} is no name on the Hugging Face hub, "
            "and revision= and source='cache' do not apply to folders."
        )
    if not from_cache and (is_folder or Path(name).is_file() or not may_be_hub_name):
        return Location(Path(name), bundled=False)
    repo_id = name if "/" in name else f"{_ORGANISATIONS[task]}/{name}"
    snapshot = resolve_snapshot(
        repo_id, revision, cache_folder, token=token, local_files_only=offline, file_name=file_name
    )
    return Location(snapshot, bundled=False)
