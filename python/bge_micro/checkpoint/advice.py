"""What is said of a model that cannot be loaded: what there is instead, and the command that helps.

Every door finds and reads models through this package, so all of them say the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from shlex import quote

from bge_micro.checkpoint.bundled import BUNDLED_NAME
from bge_micro.checkpoint.errors import CheckpointError

# The first bytes of the small text file that `git clone` without Git LFS leaves for a large one.
_POINTER = b"version https://git-lfs"

# Names that a message lists.
_NAMED = 5

_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_OTHER_WEIGHTS = (*_PICKLES, ".h5", ".msgpack")

_SAVE_AGAIN = (
    "Reading them can run code; where sentence-transformers is installed, write a folder with "
    'safetensors: python -c "from sentence_transformers import SentenceTransformer as S; '
    "S({source!r}).save_pretrained('OUT')\", and give that folder."
)


def refuse_pointer(path: Path, data: bytes | memoryview) -> None:
    """Raise a CheckpointError if the bytes of a file are a pointer of Git LFS."""
    if bytes(data[: len(_POINTER)]) == _POINTER:
        raise CheckpointError(
            f"{path}: is a pointer of Git LFS to the file and not the file itself: the repository "
            "was cloned without Git LFS. In its folder, run: git lfs install && git lfs pull"
        )


def refuse_pointer_file(path: Path) -> None:
    """Raise a CheckpointError if a file is a pointer of Git LFS; nothing if it cannot be read."""
    try:
        with path.open("rb") as file:
            refuse_pointer(path, file.read(len(_POINTER)))
    except OSError:  # whoever needs the file says so
        return


def not_a_folder(path: Path, given: str | Path) -> str:
    """Return the message for a file where a model's folder is expected.

    Args:
        path: The file.
        given: As it was given.
    """
    refuse_pointer_file(path)
    kind = _kind_of(path)
    if kind is None:
        return f"{given}: is a file, expected a model's folder or its name."
    what, advice = kind
    return f"{given}: is {what}, expected a model's folder. {advice}"


def _kind_of(path: Path) -> tuple[str, str] | None:
    """Return what a file of weights is and what to do with it."""
    ending = path.suffix.lower()
    if ending == ".onnx":
        vocabulary = quote(str(_vocabulary_near(path)))
        command = f"bge-micro convert {quote(str(path))} OUT --vocab {vocabulary}"
        return "an ONNX export", f"Make one: {command}"
    if ending == ".gguf":
        command = f"bge-micro convert {quote(str(path))} OUT --normalize"
        options = "--no-normalize if the model has no such module"
        return "a GGUF file", f"Make one ({options}): {command}"
    if ending == ".safetensors":
        where = "its folder" if str(path.parent) == "." else f"its folder, {path.parent}"
        return "a file of weights", f"Give {where}, with config.json and tokenizer.json in it."
    if ending in _OTHER_WEIGHTS:
        saved = "pickled by PyTorch" if ending in _PICKLES else "of another framework"
        return f"a file of weights {saved}", _SAVE_AGAIN.format(source=str(path.parent))
    return None


def _vocabulary_near(export: Path) -> Path:
    """Return the tokenizer's file beside an export, or above its folder "onnx"."""
    for folder in (export.parent, export.parent.parent):
        for name in ("tokenizer.json", "vocab.txt"):
            if (folder / name).is_file():
                return folder / name
    return Path("tokenizer.json")


def no_config(folder: Path) -> str:
    """Return the message for a folder without config.json: what it has, and what to do."""
    found = weights_in(folder)
    if not found:
        return f"{folder / 'config.json'}: the file is missing; the model folder is incomplete."
    what, advice = _kind_of(found[0]) or ("a file", "")
    if found[0].suffix == ".safetensors":
        advice = "Fetch config.json, tokenizer.json and modules.json of the same model into it."
    return (
        f"{folder / 'config.json'}: the file is missing; the folder has "
        f"{found[0].relative_to(folder)}, which is {what}. {advice}"
    )


def no_weights(folder: Path) -> str:
    """Return the message for a folder without weights that are read: what it has, what to do."""
    found = weights_in(folder)
    start = f"{folder / 'model.safetensors'}: the file is missing"
    if not found:
        return f"{start} (found no weights); the model folder is incomplete."
    names = ", ".join(str(path.relative_to(folder)) for path in found)
    what, advice = _kind_of(found[0]) or ("", "")
    if found[0].suffix == ".safetensors":
        advice = "Weights are read from model.safetensors or the shards that its index names."
    return f"{start}; found only {names}, which is {what}. {advice}"


def weights_in(folder: Path) -> list[Path]:
    """Return the files of weights of any kind, those that can be converted first."""
    endings = (".safetensors", ".onnx", ".gguf", *_OTHER_WEIGHTS)
    found = [*folder.glob("*"), *folder.glob("onnx/*.onnx")]
    known = [path for path in found if path.suffix.lower() in endings]
    return sorted(known, key=lambda path: (endings.index(path.suffix.lower()), str(path)))


def what_is_there(name: str, cache: Path | None = None) -> str:
    """Return a line with the models that a mistyped name may have meant, closest names first.

    Args:
        name: What was given.
        cache: The folder of the Hugging Face cache.
    """
    near = Path(name).parent
    parts = [f"{BUNDLED_NAME} (in the package)"]
    folders = [path.name for path in _listed(near) if (path / "config.json").is_file()]
    if folders:
        parts.append(f"in the folder {near.absolute()}: {_closest(Path(name).name, folders)}")
    cached = [path.name[8:].replace("--", "/", 1) for path in _listed(cache, "models--*")]
    if cached:
        parts.append(f"in the cache: {_closest(name, cached)}")
    meant = get_close_matches(name, [BUNDLED_NAME, *folders, *cached], 1)
    question = f"; did you mean {meant[0]}?" if meant else "."
    return f"There is: {'; '.join(parts)}{question}"


def _listed(folder: Path | None, pattern: str = "*") -> list[Path]:
    try:
        return sorted(folder.glob(pattern)) if folder else []
    except OSError:
        return []


def _closest(name: str, found: Iterable[str]) -> str:
    """Return some names as a list, those that are most like one first."""
    names = list(found)
    close = get_close_matches(name, names, _NAMED, 0.4)
    listed = list(dict.fromkeys([*close, *names]))
    return ", ".join(listed[:_NAMED]) + (", ..." if listed[_NAMED:] else "")
