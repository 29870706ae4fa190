"""Texts and their vectors together: add, remove, search, save, load."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from numpy.typing import NDArray

from bge_micro.inputs import read_texts
from bge_micro.search.contents import Contents
from bge_micro.search.labels import checked_ids, checked_metadata, rows_of_filter
from bge_micro.search.selection import top_k_of_blocks
from bge_micro.search.space import index_options, metric_for, open_index_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from bge_micro.choices import Errors, Precision
    from bge_micro.model import SentenceTransformer
    from bge_micro.option_types import PromptOptions, Texts

# What `search` may search among: rows whose metadata a function accepts, or rows with these ids.
Filter = Callable[[Any], object] | Collection[str]


class Hit(NamedTuple):
    """A text that was found: its row, from 0, its score, the text, and its id and metadata."""

    row: int
    score: float
    text: str
    id: str | None = None
    metadata: Any = None


class Index:
    """Texts with vectors of one model, searched exactly by cosine.

    Not safe for use by several threads while one of them adds or removes.

    Attributes:
        model: Encodes what is added and what is asked.
        space_id: Of the vectors.
        prompt: Text that is put before each text; None until the first text is added, or if it is
            not known.
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
        self.prompt: str | None = None
        self._contents = Contents(model.encode([], **self._options))

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._contents)

    @property
    def texts(self) -> Sequence[str]:
        """The texts, by row."""
        return self._contents.texts

    @property
    def ids(self) -> Sequence[str | None]:
        """A string or None for each row."""
        return self._contents.ids

    @property
    def metadata(self) -> Sequence[Any]:
        """A JSON value for each row; None where none was given."""
        return self._contents.metadata

    @property
    def vectors(self) -> NDArray[Any]:
        """The vectors, (rows, columns), as `encode` gives them.

        Raises:
            SavedIndexError: They are of a saved index, whose file was cut since.
        """
        return self._contents.vectors()

    def add(
        self,
        texts: str | Texts,
        *,
        ids: str | Sequence[str | None] | None = None,
        metadata: Any = None,
        errors: Errors | None = None,
        **options: Unpack[PromptOptions],
    ) -> None:
        """Add texts, at best many at once. If it raises, nothing was added.

        Args:
            texts: As for `SentenceTransformer.encode_document`.
            ids: A string for each text, or None for some; a string for a single text. No other text
                of the index may have it.
            metadata: A value that JSON can hold for each text; for a single text its value. They
                are copied.
            errors: As for `encode_document`; rows keep their numbers, so that none may be skipped.
            **options: For it, such as threads. All texts have the prompt of the first ones.

        Raises:
            TypeError: A row is not a string (strict), an id is none, or JSON cannot hold a value.
            ValueError: A row is missing (strict), or would be skipped; an id is there already; or
                the prompt is another one.
        """
        given = read_texts(texts, errors or self.model.errors)
        if given.skipped:
            count = len(given.rows)
            raise ValueError(
                f"{count + given.skipped} texts gave {count} vectors: errors is 'skip'."
            )
        rows = list(given.rows)
        known = {} if ids is None else self._contents.table.rows()
        new_ids = checked_ids(ids, given.single, len(rows), known)
        new_metadata = checked_metadata(metadata, given.single, len(rows))
        prompt = self._prompt_for(options.pop("prompt_name", None), options.get("prompt"))
        options["prompt"] = prompt
        vectors = self.model.encode_document(rows, **self._options, **options)
        if not len(self):
            self.prompt = prompt
        self._contents.extend(rows, new_ids, new_metadata, vectors)

    def _prompt_for(self, name: str | None, prompt: str | None) -> str:
        """Return the prompt for texts that are added: the index's one, unless another is given."""
        if name is None and prompt is None:
            return self.model.document_prompt if self.prompt is None else self.prompt
        wanted = self.model.plan(prompt_name=name, prompt=prompt).prompt
        if len(self) and self.prompt not in (None, wanted):
            raise ValueError(
                f"the prompt is {wanted!r}, and the texts of this index have {self.prompt!r}."
            )
        return wanted

    def remove(self, ids: str | Collection[str]) -> None:
        """Remove texts; those behind them move up. If it raises, nothing was removed.

        Args:
            ids: An id, or several.

        Raises:
            ValueError: One is not there.
        """
        rows = self._contents.table.find([ids] if isinstance(ids, str) else ids)
        if rows:
            self._contents.remove(rows)

    @overload
    def search(  # type: ignore[overload-overlap]
        self,
        queries: str,
        k: int = 10,
        *,
        filter: Filter | None = None,
        threads: int | None = None,
    ) -> list[Hit]: ...
    @overload
    def search(
        self,
        queries: Texts,
        k: int = 10,
        *,
        filter: Filter | None = None,
        threads: int | None = None,
    ) -> list[list[Hit]]: ...
    def search(
        self,
        queries: str | Texts,
        k: int = 10,
        *,
        filter: Filter | None = None,
        threads: int | None = None,
    ) -> list[Hit] | list[list[Hit]]:
        """Find the texts that are most like a query.

        Args:
            queries: A query, or several, which are encoded and searched together.
            k: How many texts to find.
            filter: Search among some texts only: those whose metadata a function accepts (it gets
                None where there is none), or those whose ids are in a set. Unknown ids are ignored.
            threads: The most threads to use.

        Returns:
            A list of `Hit`, best first, of equal scores the lower row first; a list of such lists
            for several queries.
        """
        asked = self.model.encode_query(queries, threads=threads, **self._options)
        if isinstance(queries, str):
            return self.search_vectors(asked[None], k, filter=filter, threads=threads)[0]
        return self.search_vectors(asked, k, filter=filter, threads=threads)

    def search_vectors(
        self,
        queries: NDArray[Any],
        k: int = 10,
        *,
        filter: Filter | None = None,
        threads: int | None = None,
    ) -> list[list[Hit]]:
        """Find the texts whose vectors are most like those of queries, (n, columns)."""
        found = top_k_of_blocks(
            queries,
            self._contents.blocks(),
            rows_of_filter(filter, self.metadata, self._contents.table),
            k,
            metric=metric_for(self._options),
            precision=self._options["precision"],
            threads=threads,
        )
        return [
            [self._hit(row, score) for row, score in zip(rows, scores, strict=True)]
            for rows, scores in zip(found.indices.tolist(), found.scores.tolist(), strict=True)
        ]

    def _hit(self, row: int, score: float) -> Hit:
        return Hit(row, score, self.texts[row], self.ids[row], self.metadata[row])

    def save(self, folder: str | Path) -> None:
        """Write a folder, or replace the index there, also the one that this was loaded from.

        Who loads it at the same time gets the old index or the new one, whole, and so it is after a
        crash at any moment. If the folder holds what this was loaded from or saved to last, only
        the texts that were added since are written, behind the others.

        Raises:
            FileExistsError: The folder exists and is no index.
            BlockingIOError: Another process is writing there.
            OSError: It cannot be written.
        """
        self._contents.save(folder, self.space_id, self._options, self.prompt)

    @classmethod
    def load(cls, folder: str | Path, model: SentenceTransformer, *, mmap: bool = True) -> Index:
        """Open a saved index.

        Args:
            folder: What `save` or `bge-micro index` wrote.
            model: The model that made it.
            mmap: Leave vectors and texts on the disk and map them, so that they are read where they
                are used. A save never changes bytes that are mapped. But if something else cuts
                a file, the next search raises an error, and a search that is running ends with
                SIGBUS; with False all is read into memory.

        Raises:
            FileNotFoundError: There is no index.
            SavedIndexError: The folder is damaged; a ValueError.
            ValueError: Another model made it.
        """
        saved = open_index_of(model, folder, mmap=mmap)
        made_with = saved.options
        index = cls(model, truncate_dim=made_with["truncate_dim"], precision=made_with["precision"])
        index.prompt = saved.prompt
        index._contents = Contents(saved.vectors, saved)
        return index
