"""Texts and their vectors together: add, search, save, load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from bge_micro.inputs import read_texts
from bge_micro.search.saved import SavedIndex, SavedIndexError, new_index, open_index
from bge_micro.search.top_k import top_k

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from bge_micro.choices import Errors, Precision
    from bge_micro.model import SentenceTransformer
    from bge_micro.option_types import PromptOptions, Texts


class Hit(NamedTuple):
    """A text that was found: its row, from 0, its score, and the text."""

    row: int
    score: float
    text: str


class Index:
    """Texts with vectors of one model, searched exactly by cosine.

    Not safe for use by several threads while one of them adds.

    Attributes:
        model: Encodes what is added and what is asked.
        space_id: Of the vectors.
        texts: The texts, by row.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        truncate_dim: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        """Make an empty index.

        Args:
            model: The model.
            truncate_dim: Length to cut vectors to.
            precision: "float32"; "int8" or "uint8" take a quarter of the memory, "binary" or
                "ubinary" a 32nd, for less exact scores.
        """
        self.model = model
        self._options = index_options(truncate_dim, precision)
        self.space_id = model.space_id_of(**self._options)
        self.texts: Sequence[str] = []
        self._blocks: list[NDArray[Any]] = [model.encode([], **self._options)]
        self._saved: SavedIndex | None = None  # whose vectors are the first block

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.texts)

    @property
    def vectors(self) -> NDArray[Any]:
        """The vectors, (rows, columns), as `encode` gives them.

        Raises:
            SavedIndexError: They are of a saved index, whose file was cut since.
        """
        if self._saved is not None:
            self._saved.check_length()
        if len(self._blocks) > 1:
            self._blocks, self._saved = [np.concatenate(self._blocks)], None
        return self._blocks[0]

    def add(
        self,
        texts: str | Texts,
        *,
        errors: Errors | None = None,
        **options: Unpack[PromptOptions],
    ) -> None:
        """Add texts, at best many at once.

        Args:
            texts: As for `SentenceTransformer.encode_document`.
            errors: As there; rows keep their numbers, so that none may be skipped.
            **options: For it, such as threads.

        Raises:
            TypeError: A row is not a string (strict).
            ValueError: A row is missing (strict), or would be skipped.
        """
        given = read_texts(texts, errors or self.model.errors)
        if given.skipped:
            count = len(given.rows)
            raise ValueError(
                f"{count + given.skipped} texts gave {count} vectors: errors is 'skip'."
            )
        rows = list(given.rows)
        vectors = self.model.encode_document(rows, **self._options, **options)
        self._blocks.append(vectors)
        if not isinstance(self.texts, list):  # lines of a saved index
            self.texts = list(self.texts)
        self.texts.extend(rows)

    @overload
    def search(  # type: ignore[overload-overlap]
        self, queries: str, k: int = 10, *, threads: int | None = None
    ) -> list[Hit]: ...
    @overload
    def search(
        self, queries: Texts, k: int = 10, *, threads: int | None = None
    ) -> list[list[Hit]]: ...
    def search(
        self, queries: str | Texts, k: int = 10, *, threads: int | None = None
    ) -> list[Hit] | list[list[Hit]]:
        """Find the texts that are most like a query.

        Args:
            queries: A query, or several.
            k: How many texts to find.
            threads: The most threads to use.

        Returns:
            A list of `Hit`, best first, of equal scores the lower row first; a list of such lists
            for several queries.
        """
        asked = self.model.encode_query(queries, threads=threads, **self._options)
        if isinstance(queries, str):
            return self.search_vectors(asked[None], k, threads=threads)[0]
        return self.search_vectors(asked, k, threads=threads)

    def search_vectors(
        self, queries: NDArray[Any], k: int = 10, *, threads: int | None = None
    ) -> list[list[Hit]]:
        """Find the texts whose vectors are most like those of queries, (n, columns)."""
        found = top_k(
            queries,
            self.vectors,
            k,
            metric=metric_for(self._options),
            precision=self._options["precision"],
            threads=threads,
        )
        return [
            [Hit(row, score, self.texts[row]) for row, score in zip(rows, scores, strict=True)]
            for rows, scores in zip(found.indices.tolist(), found.scores.tolist(), strict=True)
        ]

    def save(self, folder: str | Path) -> None:
        """Write a folder, or replace the index there, also the one that this was loaded from.

        Who loads it at the same time gets the old index or the new one, whole, and so it is after a
        crash at any moment.

        Raises:
            FileExistsError: The folder exists and is no index.
            BlockingIOError: Another process is writing there.
            OSError: It cannot be written.
        """
        vectors = self.vectors
        with new_index(folder, self.space_id, self._options, vectors) as writer:
            writer.append(self.texts, vectors)

    @classmethod
    def load(cls, folder: str | Path, model: SentenceTransformer, *, mmap: bool = True) -> Index:
        """Open a saved index.

        Args:
            folder: What `save` or `bge-micro index` wrote.
            model: The model that made it.
            mmap: Leave vectors and texts on the disk and map them, so that they are read where they
                are used. A save never changes a file that is mapped. But if something else cuts
                one, the next search raises an error, and a search that is running ends with
                SIGBUS; with False all is read into memory.

        Raises:
            FileNotFoundError: There is no index.
            SavedIndexError: The folder is damaged; a ValueError.
            ValueError: Another model made it.
        """
        saved = open_index_of(model, folder, mmap=mmap)
        made_with = saved.options
        index = cls(model, truncate_dim=made_with["truncate_dim"], precision=made_with["precision"])
        index.texts, index._blocks, index._saved = saved.texts, [saved.vectors], saved
        return index


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
