"""Which vectors compare: space ids, and the options of `encode` that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bge_micro.search.saved import SavedIndex, SavedIndexError, open_index

if TYPE_CHECKING:
    from bge_micro.model import SentenceTransformer


def index_options(truncate_dim: int | None, precision: str) -> dict[str, Any]:
    """Return the options of `encode` for the vectors of an index: floats are of unit length."""
    return {
        "normalize_embeddings": precision == "float32",
        "truncate_dim": truncate_dim,
        "precision": precision,
    }


def metric_for(options: dict[str, Any]) -> str:
    """Return what gives the cosine of vectors made with options of `encode`.

    Of floats of unit length that is the dot product, which takes one pass over memory.
    """
    is_unit = options["normalize_embeddings"] and options["precision"] == "float32"
    return "dot" if is_unit else "cosine"


# What space ids say of the weights that `bge-micro convert --official` gives, which were bundled
# before 0.1.0.
OFFICIAL_WEIGHTS = "3ed31b7a8226d74a"


def check_space(name: str | Path, found: str, expected: str) -> None:
    """Raise a ValueError if vectors are of another space than the model's."""
    if found == expected:
        return
    theirs, ours = _fields(found), _fields(expected)
    differing = [
        f"{key} is {theirs.get(key)} there and {value} here"
        for key, value in ours.items()
        if theirs.get(key) != value
    ]
    if theirs.get("weights") == OFFICIAL_WEIGHTS != ours["weights"]:
        raise ValueError(
            f"{name}: the vectors were made by the model of bge-micro before 0.1.0, the official "
            "8-bit export, and this model has other weights. Make the vectors anew; or load the "
            "export, which `bge-micro convert --official` turns into a folder."
        )
    raise ValueError(
        f"{name}: the vectors are not of this model: {'; '.join(differing)}. Use the model and "
        "options that made them, or make them anew."
    )


def options_of(space_id: str) -> dict[str, Any]:
    """Return the options with which `encode` makes vectors of a space.

    Raises:
        ValueError: The id does not say.
    """
    fields = _fields(space_id)
    try:
        return {
            "normalize_embeddings": fields["normalize"] == "true",
            "truncate_dim": int(fields["dimensions"]),
            "precision": fields["precision"],
        }
    except KeyError as error:
        raise ValueError(f"the space id {space_id!r} does not say its {error}.") from None


def _fields(space_id: str) -> dict[str, str]:
    parts = (part.partition("=") for part in space_id.split(";"))
    return {name: value for name, _, value in parts}


def open_index_of(
    model: SentenceTransformer, folder: str | Path, *, mmap: bool = True
) -> SavedIndex:
    """Open a saved index that a model made; raises like `Index.load`."""
    saved = open_index(folder, mmap=mmap)
    check_space(folder, saved.space_id, model.space_id_of(**saved.options))
    none = model.encode([], **saved.options)
    if saved.vectors.shape[1] != none.shape[1]:
        raise SavedIndexError(
            f"{folder}: the vectors have {saved.vectors.shape[1]} columns, expected "
            f"{none.shape[1]}; the index is damaged: restore the folder from a copy, or make it "
            "anew."
        )
    return saved
