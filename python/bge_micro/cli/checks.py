"""Checks of files by their checksums, and of vectors that must have the committed bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bge_micro.checkpoint import CheckpointError, bundled_folder
from bge_micro.checkpoint.integrity import check_files
from bge_micro.checkpoint.json_file import read_json_object
from bge_micro.checkpoint.side_file import SideFile
from bge_micro.choices import ComputeType

if TYPE_CHECKING:
    from bge_micro import SentenceTransformer

REINSTALL = "the installation is damaged: install bge-micro again"


@dataclass(frozen=True)
class Check:
    """One check: its subject, whether it passed, and what was found."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Golden:
    """The contents of golden.json.

    Attributes:
        numerics_version: Of the arithmetic that made the vectors.
        texts: What was encoded.
        sha256: Digests of the vectors, by compute type.
    """

    numerics_version: int
    texts: list[str]
    sha256: dict[ComputeType, str]


def golden_file() -> Path:
    """Return the path of golden.json."""
    return bundled_folder().parent / "golden.json"


def read_golden() -> Golden:
    """Read golden.json.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    try:
        return Golden(**read_json_object(golden_file()))
    except TypeError as error:
        raise CheckpointError(f"{golden_file()}: {error}; {REINSTALL}.") from None


def check_recorded(folder: Path, side_file: SideFile, advice: str) -> list[Check]:
    """Compare a folder's files with the checksums that its bge_micro.json records."""
    return [
        Check(found.name, found.ok, str(found) if found.ok else f"{found}; {advice}")
        for found in check_files(folder, side_file)
    ]


def check_vectors(model: SentenceTransformer, golden: Golden) -> Check:
    """Compare a few texts' vectors with the committed ones, bit by bit."""
    found, expected = vectors_sha256(model, golden.texts), golden.sha256[model.compute_type]
    advice = "please report it with all that this command shows"
    ok = found == expected
    detail = found if ok else f"sha256 is {found}, expected {expected}; {advice}"
    return Check(f"{model.compute_type} vectors", ok, detail)


def vectors_sha256(model: SentenceTransformer, texts: Sequence[str]) -> str:
    """Return the SHA-256 of the texts' vectors: little-endian float32, row by row."""
    return hashlib.sha256(model.encode(texts).astype("<f4").tobytes()).hexdigest()
