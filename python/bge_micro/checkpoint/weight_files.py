"""Find the weight files of a folder and list their tensors under the usual BERT names."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bge_micro.checkpoint.advice import no_weights
from bge_micro.checkpoint.errors import CheckpointError, MissingFileError
from bge_micro.checkpoint.families import Family
from bge_micro.checkpoint.file_content import FileContent
from bge_micro.checkpoint.json_file import read_json_object
from bge_micro.checkpoint.safetensors_file import open_tensors
from bge_micro.checkpoint.tensors import StoredTensor

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"

# Every family has its words under this name, and all of an encoder in these parts. BERT's pooler is
# part of a classifier's head, which sentence vectors do not use.
_WORDS = "embeddings.word_embeddings.weight"
_ENCODER_PARTS = ("embeddings.", "encoder.", "transformer.")

# Buffers that some versions of transformers saved: 0, 1, 2, .. and zeros.
_UNUSED = ("embeddings.position_ids", "embeddings.token_type_ids")

# The names that the first BERT conversions gave to LayerNorm's parameters.
_OLD_NORM_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


class StoredWeights(NamedTuple):
    """The tensors in a folder: the encoder's, and all with the names that the files have.

    Attributes:
        files: The weight files as they were loaded, in the order of their names.
        tensors: The encoder's by their usual BERT name, without prefix.
        others: All that are not the encoder's, such as a classifier's, by their name beside
            the family's prefix: in a file that is saved from a wrapper, without the wrapper's.
    """

    files: tuple[FileContent, ...]
    tensors: dict[str, StoredTensor]
    others: dict[str, StoredTensor]

    @property
    def description(self) -> str:
        """The files in one line, for error messages."""
        return ", ".join(str(file.path) for file in self.files)


def open_weights(folder: Path, family: Family, *, mmap: bool) -> StoredWeights:
    """Open model.safetensors, or the shards that model.safetensors.index.json names.

    Args:
        folder: The folder of the weights.
        family: The model's family, which knows the names.
        mmap: As for `open_tensors`.

    Returns:
        The tensors, divided into the encoder's and others.

    Raises:
        MissingFileError: There are no weights, or a shard is missing.
        CheckpointError: A file is damaged, or two tensors have one name.
    """
    files: list[FileContent] = []
    stored: dict[str, StoredTensor] = {}
    for file in _weight_files(folder):
        tensors = open_tensors(file, mmap)
        files.append(tensors.content)
        for name in tensors:
            if name in stored:
                raise CheckpointError(
                    f"{file}, tensor {name!r}: {stored[name].file.path} holds it too."
                )
            stored[name] = StoredTensor(tensors, name)
    prefix = _encoder_prefix(stored)
    return StoredWeights(
        tuple(files),
        _encoder_tensors(stored, prefix, family),
        _other_tensors(stored, prefix, family),
    )


def has_weights(folder: Path) -> bool:
    """Tell whether a folder has weights in safetensors."""
    return any((folder / name).exists() for name in (WEIGHTS_NAME, INDEX_NAME))


def _weight_files(folder: Path) -> tuple[Path, ...]:
    if (folder / WEIGHTS_NAME).exists():
        return (folder / WEIGHTS_NAME,)
    if (folder / INDEX_NAME).exists():
        return shard_files(folder / INDEX_NAME)
    raise MissingFileError(no_weights(folder))


def shard_files(index: Path) -> tuple[Path, ...]:
    """Return the files that a model.safetensors.index.json names, in the order of their names."""
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index}: expected weight_map, an object from tensor to file.")
    names = set()
    for tensor, name in weight_map.items():
        if (
            not isinstance(name, str)
            or Path(name).name != name
            or not name.endswith(".safetensors")
        ):
            raise CheckpointError(
                f"{index}, tensor {tensor!r}: expected the name of a .safetensors file beside "
                f"the index, found {name!r}."
            )
        names.add(name)
    return tuple(index.parent / name for name in sorted(names))


def _encoder_prefix(stored: dict[str, StoredTensor]) -> str:
    """Return what the names of the encoder's tensors begin with."""
    prefixes = [n.removesuffix(_WORDS) for n in stored if n == _WORDS or n.endswith(f".{_WORDS}")]
    if len(prefixes) > 1:
        named = " and ".join(repr(f"{prefix}{_WORDS}") for prefix in sorted(prefixes)[:2])
        raise CheckpointError(
            f"{next(iter(stored.values())).file.path}: holds tensors {named}; "
            "expected one encoder, found more."
        )
    # "bert." in a file with a head, "0.auto_model." or "module." in files saved from a wrapper.
    return prefixes[0] if prefixes else ""


def _encoder_tensors(
    stored: dict[str, StoredTensor], prefix: str, family: Family
) -> dict[str, StoredTensor]:
    """Return the encoder's tensors without its unused buffers."""
    result: dict[str, StoredTensor] = {}
    for full_name, tensor in stored.items():
        name = full_name.removeprefix(prefix)
        if not full_name.startswith(_parts(prefix)) or name.startswith(_UNUSED):
            continue
        name = family.bert_name(name)
        for old, new in _OLD_NORM_NAMES.items():
            if name.endswith(old):
                name = name.removesuffix(old) + new
        if name in result:
            raise CheckpointError(f"{tensor}: the file holds {name!r} too, under another name.")
        result[name] = tensor
    return result


def _other_tensors(
    stored: dict[str, StoredTensor], prefix: str, family: Family
) -> dict[str, StoredTensor]:
    """Return the tensors beside the encoder's, without the prefix of a wrapper."""
    wrapper = prefix.removesuffix(family.prefix)
    return {
        name.removeprefix(wrapper): tensor
        for name, tensor in stored.items()
        if not name.startswith(_parts(prefix))
    }


def _parts(prefix: str) -> tuple[str, ...]:
    return tuple(prefix + part for part in _ENCODER_PARTS)
