"""bge_micro.json: the source of the weights of a folder in our format, with checksums."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.json_file import read_json_object
from bge_micro.choices import COMPUTE_TYPES

SIDE_FILE_NAME = "bge_micro.json"
FORMAT_VERSION = 1


class SideFile(NamedTuple):
    """Facts that the converter records beside the weights.

    Attributes:
        source: What the weights were made from, such as repo_id, revision, file and sha256.
        sha256: Checksums of this folder's own files, by file name.
        license: License and copyright of the weights; None if not known.
        numerics_version: Version of the arithmetic (see docs/numerics.md) by which the folder was
            made, which made the int8 weights if they were quantised then. For the record: vectors
            are made by, and `space_id` names, the version of the package that runs the model.
        compute_types: The compute types that the weights can be run in.
    """

    source: dict[str, str]
    sha256: dict[str, str]
    license: str | None
    numerics_version: int
    compute_types: tuple[str, ...] = COMPUTE_TYPES

    def to_json(self) -> dict[str, Any]:
        """Return the fields of bge_micro.json."""
        return {"format_version": FORMAT_VERSION, **self._asdict()}


def read_side_file(folder: Path) -> SideFile | None:
    """Read a folder's bge_micro.json.

    Args:
        folder: The model folder.

    Returns:
        The facts, or None if the folder has no such file, as folders made by others.

    Raises:
        CheckpointError: The file is damaged, or of a format newer than this version reads.
    """
    path = folder / SIDE_FILE_NAME
    if not path.exists():
        return None
    fields = read_json_object(path)
    version = fields.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: format_version is {version!r}, but this version of bge-micro reads "
            f"{FORMAT_VERSION}; upgrade bge-micro, or convert the model again."
        )
    source, sha256 = _strings(path, fields, "source"), _strings(path, fields, "sha256")
    license_text, numerics = fields.get("license"), fields.get("numerics_version")
    compute_types = fields.get("compute_types")
    if not all(map(_is_inside, sha256)):
        raise CheckpointError(
            f"{path}: sha256 is of {list(sha256)}, expected names of files in its folder."
        )
    if license_text is not None and not isinstance(license_text, str):
        raise CheckpointError(f"{path}: license is {license_text!r}, expected a string or null.")
    if type(numerics) is not int or numerics < 1:
        raise CheckpointError(f"{path}: numerics_version is {numerics!r}, expected a number.")
    if not isinstance(compute_types, list) or any(t not in COMPUTE_TYPES for t in compute_types):
        raise CheckpointError(
            f"{path}: compute_types is {compute_types!r}, expected some of {list(COMPUTE_TYPES)}."
        )
    return SideFile(source, sha256, license_text, numerics, tuple(compute_types))


def _is_inside(name: str) -> bool:
    """Tell whether a name leads to a file in the folder or in a folder of it."""
    parts = PurePosixPath(name).parts
    return (
        1 <= len(parts) <= 2
        and "/".join(parts) == name
        and not {"..", "/"} & {*parts}
        and ("\\" not in name and ":" not in name)
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    import hashlib  # OpenSSL, 3 ms of a start that needs no checksum

    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _strings(path: Path, fields: dict[str, Any], name: str) -> dict[str, str]:
    value = fields.get(name)
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise CheckpointError(f"{path}: {name} must map names to strings.")
    return value
