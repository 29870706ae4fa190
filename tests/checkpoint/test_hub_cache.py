"""Finding complete snapshots in made-up Hugging Face caches, and names that mean models."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bge_micro.checkpoint import (
    CheckpointError,
    MissingFileError,
    bundled_folder,
    load_folder,
    locate_model,
)
from bge_micro.checkpoint.hub_cache import cache_root, find_snapshot

REPO_ID = "org/tiny-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


@pytest.fixture
def cache(tmp_path: Path, tiny_folder: Path) -> Path:
    """Return a cache that holds the tiny model, laid out as huggingface_hub does."""
    root = tmp_path / "hub"
    repository = root / "models--org--tiny-model"
    snapshot = repository / "snapshots" / COMMIT
    (repository / "blobs").mkdir(parents=True)
    for number, file in enumerate(sorted(p for p in tiny_folder.rglob("*") if p.is_file())):
        blob = repository / "blobs" / f"blob{number}"
        shutil.copy(file, blob)
        link = snapshot / file.relative_to(tiny_folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(COMMIT)
    return root


@pytest.fixture
def snapshot(cache: Path) -> Path:
    """Return the one snapshot in the cache."""
    return cache / "models--org--tiny-model/snapshots" / COMMIT


def drop_blob(link: Path) -> None:
    """Replace a file by a link to a file that does not exist."""
    link.resolve().unlink()


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_complete_snapshot(cache: Path, snapshot: Path, revision: str | None) -> None:
    assert find_snapshot(REPO_ID, revision, cache) == snapshot
    assert load_folder(snapshot).config.hidden == 64


def test_branches_with_slashes(cache: Path, snapshot: Path) -> None:
    reference = cache / "models--org--tiny-model/refs/refs/pr/1"
    reference.parent.mkdir(parents=True)
    reference.write_text(COMMIT + "\n")
    assert find_snapshot(REPO_ID, "refs/pr/1", cache) == snapshot


def test_files_instead_of_links(cache: Path, snapshot: Path, tiny_folder: Path) -> None:
    shutil.rmtree(snapshot)  # as on systems without symbolic links
    shutil.copytree(tiny_folder, snapshot)
    assert find_snapshot(REPO_ID, None, cache) == snapshot


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SENTENCE_TRANSFORMERS_HOME": "/st", "HF_HUB_CACHE": "/hub", "HF_HOME": "/home"}, "/st"),
        ({"HF_HUB_CACHE": "/hub", "HF_HOME": "/hf", "XDG_CACHE_HOME": "/xdg"}, "/hub"),
        ({"HF_HOME": "/hf", "XDG_CACHE_HOME": "/xdg"}, "/hf/hub"),
        ({"HF_HUB_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/huggingface/hub"),
        ({}, "~/.cache/huggingface/hub"),
        ({"HF_HOME": "~/hf"}, "~/hf/hub"),
    ],
)
def test_where_the_cache_is(environ: dict[str, str], expected: str) -> None:
    assert cache_root(None, environ) == Path(expected).expanduser()
    assert cache_root("/given", environ) == Path("/given")


def test_the_environment_is_read_when_asked(
    cache: Path, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(cache))
    assert find_snapshot(REPO_ID) == snapshot


@pytest.mark.parametrize(
    "name",
    [
        "modules.json",
        "config.json",
        "1_Pooling/config.json",
        "model.safetensors",
        "tokenizer.json",
    ],
)
@pytest.mark.parametrize("remove", [Path.unlink, drop_blob])
def test_incomplete_snapshots_name_the_file(
    cache: Path, snapshot: Path, name: str, remove: Callable[[Path], None]
) -> None:
    remove(snapshot / name)
    with pytest.raises(MissingFileError, match=name) as caught:
        find_snapshot(REPO_ID, None, cache)
    assert str(snapshot) in str(caught.value)
    assert "hf download org/tiny-model" in str(caught.value)


def test_no_modules_json_if_the_hub_has_none(cache: Path, snapshot: Path) -> None:
    (snapshot / "modules.json").unlink()
    marker = cache / "models--org--tiny-model/.no_exist" / COMMIT / "modules.json"
    marker.parent.mkdir(parents=True)
    marker.touch()
    assert find_snapshot(REPO_ID, None, cache) == snapshot


def test_a_download_that_was_cut_off(cache: Path, snapshot: Path) -> None:
    blobs = cache / "models--org--tiny-model/blobs"
    (blobs / "abc.incomplete").touch()
    with pytest.raises(MissingFileError, match=r"config_sentence_transformers\.json is missing"):
        find_snapshot(REPO_ID, None, cache)
    for name in ("config_sentence_transformers", "sentence_bert_config", "tokenizer_config"):
        (snapshot / f"{name}.json").write_text("{}")
    assert find_snapshot(REPO_ID, None, cache) == snapshot  # it was not one that loading needs
    (blobs / "gone").write_text("{}")
    (snapshot / "tokenizer_config.json").unlink()
    (snapshot / "tokenizer_config.json").symlink_to(blobs / "gone")
    drop_blob(snapshot / "tokenizer_config.json")
    with pytest.raises(MissingFileError, match="link to nothing"):
        find_snapshot(REPO_ID, None, cache)


def test_shards_must_all_be_there(cache: Path, snapshot: Path) -> None:
    (snapshot / "model.safetensors").unlink()
    index = '{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
    (snapshot / "model.safetensors.index.json").write_text(index)
    (snapshot / "model-1.safetensors").touch()
    with pytest.raises(MissingFileError, match=r"model-2\.safetensors"):
        find_snapshot(REPO_ID, None, cache)


def test_unknown_models_and_revisions(cache: Path) -> None:
    with pytest.raises(MissingFileError, match="models--org--absent"):
        find_snapshot("org/absent", None, cache)
    with pytest.raises(MissingFileError, match=f"--revision {OTHER}"):
        find_snapshot(REPO_ID, OTHER, cache)
    with pytest.raises(MissingFileError, match=f"It holds {COMMIT}"):
        find_snapshot(REPO_ID, COMMIT[:7], cache)  # a short hash is not completed
    (cache / "models--org--tiny-model/refs/main").write_text("not a commit")
    with pytest.raises(CheckpointError, match="expected a commit hash"):
        find_snapshot(REPO_ID, None, cache)


@pytest.mark.parametrize("revision", ["../../x", "/etc/passwd", "a//b", "a\\b", ".", "c:x"])
def test_revisions_cannot_lead_out_of_the_cache(cache: Path, revision: str) -> None:
    with pytest.raises(CheckpointError, match="not a branch"):
        find_snapshot(REPO_ID, revision, cache)


@pytest.mark.parametrize(
    "repo_id", ["", "a/b/c", "../x", "a--b", "a/..", "a..b", "a b", "x\n", "a/"]
)
def test_malformed_repositories(cache: Path, repo_id: str) -> None:
    with pytest.raises(CheckpointError, match="not a repository"):
        find_snapshot(repo_id, None, cache)


def test_unreadable_files(cache: Path, snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # By os.access, because the tests may run as root, who can read every file.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "config.json")
    with pytest.raises(MissingFileError, match=r"config\.json cannot be read"):
        find_snapshot(REPO_ID, None, cache)


@pytest.mark.parametrize("name", ["bge-micro-v2", "TaylorAI/bge-micro-v2"])
def test_bundled_names(
    name: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    location = locate_model(name)
    assert location.bundled
    assert location.folder == bundled_folder()
    for options in ({"source": "cache"}, {"revision": "main"}):
        with pytest.raises(MissingFileError, match="models--TaylorAI--bge-micro-v2"):
            locate_model(name, cache_folder=cache, **options)
    (tmp_path / name).mkdir(parents=True)  # as `git clone` makes it: it wins
    assert locate_model(name) == (Path(name), False)


def test_folders_and_hub_names(
    tiny_folder: Path, cache: Path, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert locate_model(tiny_folder).folder == tiny_folder
    assert locate_model(str(tiny_folder)).folder == tiny_folder
    assert locate_model(REPO_ID, cache_folder=cache).folder == snapshot
    monkeypatch.chdir(tiny_folder.parent)
    assert locate_model("tiny", cache_folder=cache).folder == Path("tiny")
    assert not locate_model("tiny").bundled
    with pytest.raises(MissingFileError, match="models--sentence-transformers--tiny"):
        locate_model("tiny", source="cache", cache_folder=cache)
    with pytest.raises(MissingFileError, match="no folder has this name"):
        locate_model("org/absent", cache_folder=cache)
    with pytest.raises(MissingFileError, match="found no folder"):
        load_folder(locate_model("./absent").folder)


def test_refused_ways_to_ask(tiny_folder: Path) -> None:
    with pytest.raises(ValueError, match="source is 'hub'"):
        locate_model("bge-micro-v2", source="hub")
    with pytest.raises(ValueError, match="do not apply to folders"):
        locate_model(tiny_folder, revision="main")
    with pytest.raises(ValueError, match="empty"):
        locate_model("")
