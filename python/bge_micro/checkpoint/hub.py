"""Fetch a model from the Hugging Face hub into its standard cache, with huggingface_hub.

This is the only module that uses the network. It does so only for names that are neither the
bundled model's nor a folder's, and never if the environment or the caller says offline. It fetches
only the files that a model needs: no copies of the weights in other formats.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from bge_micro.checkpoint.config import read_config
from bge_micro.checkpoint.errors import MissingFileError
from bge_micro.checkpoint.exports import choose_export
from bge_micro.checkpoint.hub_cache import cache_root, find_snapshot, is_commit
from bge_micro.checkpoint.modules import read_modules

_TRUE = {"1", "ON", "YES", "TRUE"}

# In the transformer's folder: that of the model, or the name that releases of 2019 used.
_IN_TRANSFORMER = (
    "config.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "model-?????-of-?????.safetensors",
)
_OLD_FOLDER = "0_Transformer"
_SETTINGS = (
    "modules.json",
    "config_sentence_transformers.json",
    *_IN_TRANSFORMER,
    *(f"{_OLD_FOLDER}/{name}" for name in _IN_TRANSFORMER),
    "[1-9]_*/config.json",
    "[2-9]_*/model.safetensors",
)


def resolve_snapshot(
    repo_id: str,
    revision: str | None = None,
    cache_folder: str | Path | None = None,
    *,
    token: str | bool | None = None,
    local_files_only: bool = False,
    file_name: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Path:
    """Return a complete snapshot of a repository, fetching what the cache lacks.

    Args:
        repo_id: The repository, "org/name".
        revision: Branch, tag or full commit hash; None for the branch "main".
        cache_folder: The cache; None for the usual place, see `hub_cache.cache_root`.
        token: A token for private models; True or None for the stored one, False for none.
        local_files_only: Use only the cache, as with HF_HUB_OFFLINE=1 in the environment.
        file_name: The ONNX export that is wanted, as for `exports.find_export`; None for
            safetensors, or an export if there are none.
        environ: The environment variables.

    Returns:
        The snapshot's folder.

    Raises:
        MissingFileError: The model was not found or cannot be reached, and it is not in the cache;
            the message says what to do.
        CheckpointError: `repo_id` or `revision` is malformed, the cache is damaged, or the model is
            one that this engine cannot run; then its weights are not fetched.
        ImportError: huggingface_hub is not installed, and the model is not in the cache.
    """

    def cached() -> Path:
        return find_snapshot(repo_id, revision, cache_folder, environ, file_name)

    if local_files_only or _is_offline(environ):
        return cached()
    try:
        if is_commit(revision or "main"):  # a commit never changes, so the cache is up to date
            return cached()
    except MissingFileError:
        pass
    try:
        fault = _fetch(
            repo_id, revision, cache_root(cache_folder, environ), token, file_name, environ
        )
    except ImportError as error:
        try:
            return cached()
        except MissingFileError as missing:
            raise ImportError(
                f"{missing}\nOr let bge-micro fetch it: pip install 'bge-micro[hub]'.",
                name=error.name,
            ) from error
    try:
        return cached()
    except MissingFileError as missing:
        raise MissingFileError(f"{fault} {missing}" if fault else str(missing)) from None


def _is_offline(environ: Mapping[str, str]) -> bool:
    return any(
        environ.get(name, "").upper() in _TRUE
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def _fetch(
    repo_id: str,
    revision: str | None,
    root: Path,
    token: str | bool | None,
    file_name: str | None,
    environ: Mapping[str, str],
) -> str | None:
    """Bring the cache up to date; return why that failed, or None."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    options: dict[str, Any] = {
        "cache_dir": root,
        "token": token,
        "endpoint": environ.get("HF_ENDPOINT") or None,
    }
    wanted = f"{repo_id} at revision {revision or 'main'}"
    try:
        bar = {"tqdm_class": _quiet_bar()}
        snapshot = Path(
            snapshot_download(
                repo_id,
                revision=revision,
                allow_patterns=list(_SETTINGS),
                **bar,
                **options,
            )
        )
        commit = snapshot.name
        if not (snapshot / "modules.json").exists():
            # Requested once more by name, so that the cache records that the hub has none.
            with suppress(EntryNotFoundError):
                hf_hub_download(repo_id, "modules.json", revision=commit, **options)
        transformer = read_modules(snapshot).transformer
        read_config(transformer / "config.json")  # refuses what cannot run, before its weights
        inside = transformer.relative_to(snapshot).as_posix().removeprefix(".")
        prefix = f"{inside}/" if inside else ""
        with suppress(MissingFileError):  # all is in the cache already
            find_snapshot(repo_id, commit, root, environ, file_name)
            return None
        hub = HfApi(options["endpoint"], token=token)
        siblings = hub.model_info(repo_id, revision=commit).siblings or []
        files = [sibling.rfilename for sibling in siblings]
        needed = _weights_of(files, prefix, file_name, wanted)
        snapshot_download(repo_id, revision=commit, allow_patterns=needed, **bar, **options)
    except GatedRepoError:
        return (
            f"{wanted}: its owner wants to be asked first; accept the terms on its page and give "
            "a token=."
        )
    except RepositoryNotFoundError:
        return (
            f"{wanted}: the hub has no such model, or it is private; check the name, or give a "
            "token= that may read it."
        )
    except RevisionNotFoundError:
        return f"{wanted}: the hub has the model, but no such branch, tag or commit."
    except LocalEntryNotFoundError as error:
        return f"{wanted}: the hub cannot be reached ({_first_line(error)})."
    except Exception as error:  # errors of any HTTP library that huggingface_hub uses, and timeouts
        if type(error).__module__.partition(".")[0] in ("builtins", "bge_micro"):
            raise
        return f"{wanted}: fetching failed ({_first_line(error)})."
    return None


def _weights_of(files: list[str], prefix: str, file_name: str | None, wanted: str) -> list[str]:
    """Return the weights to fetch: safetensors, or the export that is meant.

    Args:
        files: All files of the repository.
        prefix: The encoder's folder, empty or ending in "/".
        file_name: The export's name; None for safetensors, or an export if there are none.
        wanted: Repository and revision, for error messages.
    """
    inside = [name.removeprefix(prefix) for name in files if name.startswith(prefix)]
    safetensors = [n for n in inside if any(fnmatchcase(n, pattern) for pattern in _WEIGHTS)]
    if safetensors and file_name is None:
        return [prefix + name for name in safetensors]
    exports = sorted(n for n in inside if n.endswith(".onnx") and n.count("/") <= 1)
    if not exports and file_name is None:
        endings = (".bin", ".h5", ".gguf", ".msgpack")
        others = [name for name in inside if name.endswith(endings) and "/" not in name]
        raise MissingFileError(
            f"{wanted}: the repository has no weights in safetensors or ONNX (it has "
            f"{', '.join(others) or 'none at all'}), and reading others can run code. Load it once "
            "with sentence-transformers, call save_pretrained, and give the folder that it writes."
        )
    export = choose_export(exports, file_name, wanted)
    # Large exports have their data in a file beside them.
    return [
        prefix + name for name in (export, f"{export}_data", f"{export}.data") if name in inside
    ]


def _quiet_bar() -> Any:
    """Return a progress bar that shows nothing: a library does not write to the terminal."""
    from huggingface_hub.utils import tqdm

    class QuietBar(tqdm):  # type: ignore[misc, unused-ignore]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})

    return QuietBar


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
