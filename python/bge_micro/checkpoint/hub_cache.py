"""Find a complete model in the local Hugging Face cache; there is no network code here.

For each repository the cache has ``models--org--name/refs/<branch>`` (a text file with a commit
hash), ``snapshots/<commit>/`` (links into ``blobs/``) and ``.no_exist/<commit>/`` (empty files for
those that were requested and that the hub does not have).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from bge_micro.checkpoint.advice import no_weights, what_is_there
from bge_micro.checkpoint.errors import CheckpointError, MissingFileError
from bge_micro.checkpoint.exports import find_export, takes_export
from bge_micro.checkpoint.modules import read_modules
from bge_micro.checkpoint.weight_files import (
    INDEX_NAME,
    WEIGHTS_NAME,
    has_weights,
    shard_files,
)

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPO_ID = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?", re.ASCII)


def is_repo_id(name: str) -> bool:
    """Tell whether a name has the form of a repository on the hub: "name" or "org/name"."""
    return _REPO_ID.fullmatch(name) is not None and "--" not in name and ".." not in name


def is_commit(revision: str) -> bool:
    """Tell whether a revision is a full commit hash."""
    return _COMMIT.fullmatch(revision) is not None


def cache_root(
    cache_folder: str | Path | None = None, environ: Mapping[str, str] = os.environ
) -> Path:
    """Return the folder of the Hugging Face cache, by the rules of the tools that write it.

    The first of: `cache_folder`; SENTENCE_TRANSFORMERS_HOME; HF_HUB_CACHE; hub under HF_HOME;
    huggingface/hub under XDG_CACHE_HOME; ~/.cache/huggingface/hub.
    """
    if cache_folder is not None:
        return Path(cache_folder).expanduser()
    places = (
        ("SENTENCE_TRANSFORMERS_HOME", ""),
        ("HF_HUB_CACHE", ""),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
    )
    for variable, subfolder in places:
        if environ.get(variable):
            return Path(os.path.expandvars(environ[variable])).expanduser() / subfolder
    return Path.home() / ".cache/huggingface/hub"


def find_snapshot(
    repo_id: str,
    revision: str | None = None,
    cache_folder: str | Path | None = None,
    environ: Mapping[str, str] = os.environ,
    file_name: str | None = None,
) -> Path:
    """Find a complete snapshot of a repository.

    Args:
        repo_id: The repository, "org/name".
        revision: Branch, tag or full commit hash; None for the branch "main".
        cache_folder: The cache; None for the usual place, see `cache_root`.
        environ: The environment variables.
        file_name: The ONNX export that is wanted, as for `exports.find_export`.

    Returns:
        The snapshot's folder, in which every file needed is present and readable.

    Raises:
        MissingFileError: There is no such snapshot, or it is incomplete; the message names what is
            missing and the folder.
        CheckpointError: `repo_id` or `revision` is malformed, or the cache is damaged.
    """
    if not is_repo_id(repo_id):
        raise CheckpointError(f"{repo_id!r} is not a repository on the hub; expected 'org/name'.")
    root = cache_root(cache_folder, environ)
    repository = root / f"models--{repo_id.replace('/', '--')}"
    wanted = f"{repo_id} at revision {revision or 'main'}"
    if not repository.is_dir():
        raise MissingFileError(
            f"{wanted}: not in the Hugging Face cache (looked for {repository}), and no folder "
            f"has this name. {_advice(repo_id, revision)}\n"
            f"{what_is_there(repo_id.removeprefix('sentence-transformers/'), root)}"
        )
    snapshot = repository / "snapshots" / _commit_of(repository, revision or "main", wanted)
    if not snapshot.is_dir():
        raise MissingFileError(
            f"{wanted}: the Hugging Face cache holds other revisions of this model, but not this "
            f"one (looked for {snapshot}). {_advice(repo_id, revision)}"
        )
    try:
        _check_complete(repository, snapshot, file_name)
    except _OtherAdviceError as error:
        raise MissingFileError(f"{wanted}: {error}") from None
    except MissingFileError as error:
        raise MissingFileError(
            f"{wanted}: the Hugging Face cache holds only a part of this model; {error}. "
            f"{_advice(repo_id, revision)}"
        ) from None
    return snapshot


def _advice(repo_id: str, revision: str | None) -> str:
    option = f" --revision {revision}" if revision else ""
    return (
        f"Fetch the model with 'hf download {repo_id}{option}' where there is a network, "
        "or give the path of a folder that holds it."
    )


def _commit_of(repository: Path, revision: str, wanted: str) -> str:
    if _COMMIT.fullmatch(revision):
        return revision
    parts = revision.split("/")
    if not all(parts) or {".", ".."} & set(parts) or "\\" in revision or ":" in revision:
        raise CheckpointError(f"revision {revision!r} is not a branch, tag or full commit hash.")
    reference = repository.joinpath("refs", *parts)
    if not reference.is_file():
        held = sorted(path.name for path in repository.glob("snapshots/*"))
        raise MissingFileError(
            f"{wanted}: the Hugging Face cache does not know this revision (looked for "
            f"{reference}); give a branch or tag that it knows or a full commit hash. "
            f"It holds {', '.join(held) or 'no revision at all'}."
        )
    commit = reference.read_text(encoding="ascii", errors="replace").strip()
    if not _COMMIT.fullmatch(commit):
        raise CheckpointError(
            f"{reference}: expected a commit hash, found {commit[:60]!r}; the cache is damaged."
        )
    return commit


class _OtherAdviceError(MissingFileError):
    """Files are missing that fetching the model again would not bring."""


def _check_complete(repository: Path, snapshot: Path, file_name: str | None) -> None:
    """Raise MissingFileError, which names the file, unless the model has all its files."""
    modules_json = snapshot / "modules.json"
    # If modules.json was never fetched, the model would silently be pooled the wrong way. So it
    # may be absent only if the hub said that it has none.
    if not (repository / ".no_exist" / snapshot.name / "modules.json").exists():
        plain = (snapshot / "config.json").exists() and not any(snapshot.glob("*_Pooling"))
        if plain and not modules_json.exists() and not modules_json.is_symlink():
            raise _OtherAdviceError(
                f"{modules_json} is missing: it was never downloaded, or the repository has none. "
                f"If it has none, give the folder itself, {str(snapshot)!r}, which is then pooled "
                "by the mean, as sentence-transformers does."
            )
        _check_file(modules_json)
    transformer = read_modules(snapshot).transformer
    _check_file(transformer / "config.json")
    _check_any(transformer / "tokenizer.json", transformer / "vocab.txt")
    weights, index = transformer / WEIGHTS_NAME, transformer / INDEX_NAME
    if takes_export(file_name, transformer):
        _check_file(find_export(transformer, file_name))
    else:
        others = [path.name for path in transformer.glob("*.bin")]
        if others and not has_weights(transformer):
            raise _OtherAdviceError(no_weights(transformer))
        _check_any(weights, index)
        if not weights.exists():
            for shard in shard_files(index):
                _check_file(shard)
    cut_off = any(repository.glob("blobs/*.incomplete"))
    for path in (
        snapshot / "config_sentence_transformers.json",
        transformer / "sentence_bert_config.json",
        transformer / "tokenizer_config.json",
    ):
        if path.is_symlink() or (cut_off and not path.exists()):
            _check_file(path)


def _check_any(first: Path, second: Path) -> None:
    _check_file(second if second.exists() and not first.exists() else first)


def _check_file(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise MissingFileError(f"{path} is a link to nothing: its download was cut off")
    if not path.is_file():
        raise MissingFileError(f"{path} is missing: it was never downloaded, or not completely")
    if not os.access(path, os.R_OK):
        raise MissingFileError(f"{path} cannot be read: this user may not open it")
