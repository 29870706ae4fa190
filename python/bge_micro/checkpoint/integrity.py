"""Compare a folder's files with the checksums that its bge_micro.json records.

This finds damage and files that were mixed up. It proves nothing about who wrote them: whoever can
change a model can change the record as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.folder import Checkpoint
from bge_micro.checkpoint.side_file import SIDE_FILE_NAME, SideFile, file_sha256
from bge_micro.checkpoint.tokenizer_sections import TOKENIZER_NAME
from bge_micro.checkpoint.weight_files import WEIGHTS_NAME


class FileCheck(NamedTuple):
    """What a folder records of a file, and what was found.

    Attributes:
        name: The file's name in the folder.
        expected: The recorded SHA-256; None if none is recorded.
        found: The SHA-256 of the file; None if there is no such file.
    """

    name: str
    expected: str | None
    found: str | None

    @property
    def ok(self) -> bool:
        """Whether the file is what was recorded."""
        return self.found is not None and self.found == self.expected

    def __str__(self) -> str:
        """Say what was found and what was expected."""
        if self.ok:
            return f"{self.found}"
        if self.found is None:
            return "missing"
        if self.expected is None:
            return f"sha256 is {self.found}, and {SIDE_FILE_NAME} records none"
        return f"sha256 is {self.found}, expected {self.expected}"


def check_files(folder: Path, side_file: SideFile) -> list[FileCheck]:
    """Compare weights, tokenizer and what else a folder records, as the files are now."""
    paths = {name: folder / name for name in (WEIGHTS_NAME, TOKENIZER_NAME, *side_file.sha256)}
    found = {name: file_sha256(path) for name, path in paths.items() if path.is_file()}
    return [FileCheck(name, side_file.sha256.get(name), found.get(name)) for name in paths]


def verify(checkpoint: Checkpoint) -> None:
    """Refuse weights, as they were loaded, or a tokenizer that are not what their folder records.

    Raises:
        CheckpointError: A file differs or is not recorded, or the folder records nothing.
    """
    side_file = checkpoint.side_file
    if side_file is None:
        raise CheckpointError(
            f"{checkpoint.folder}: has no {SIDE_FILE_NAME}, so there is nothing to verify its "
            "files by; only folders that bge-micro has written have one."
        )
    tokenizer = checkpoint.tokenizer_file
    found = {
        content.path.relative_to(checkpoint.folder).as_posix(): content.sha256()
        for content in checkpoint.weight_files
    }
    found[tokenizer.name] = file_sha256(tokenizer)
    for name, sha256 in found.items():
        check = FileCheck(name, side_file.sha256.get(name), sha256)
        if not check.ok:
            raise CheckpointError(
                f"{checkpoint.folder / name}: {check}; the file was damaged or exchanged: make or "
                "fetch the folder again."
            )
