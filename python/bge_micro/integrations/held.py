"""A model that is loaded at its first use, and that frameworks know by its settings."""

from __future__ import annotations

import os
import threading
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from weakref import WeakValueDictionary

from bge_micro.aio import run_in_thread
from bge_micro.choices import PRECISIONS, ComputeType, Precision, Truncation
from bge_micro.options import refuse_unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from bge_micro import SentenceTransformer
    from bge_micro.option_types import HeldSettings, PromptOptions, Texts

# Precisions whose codes have nearly the angles of the vectors: uint8 moves the origin, and bits
# are compared by counting them.
COSINE_PRECISIONS: tuple[Precision, ...] = ("float32", "int8")

_OPTIONS_OF_ENCODE = ("normalize_embeddings", "precision")

# A process needs one model for equal settings, even if many objects of many frameworks hold it. A
# model is freed with the last object that holds it.
_loaded: WeakValueDictionary[tuple[Any, ...], SentenceTransformer] = WeakValueDictionary()
_loading = threading.Lock()


@dataclass(frozen=True)
class HeldModel:
    """A model known by its settings: it compares, pickles and serialises by them alone.

    Attributes:
        model_name_or_path: As for `SentenceTransformer`.
        normalize_embeddings: Whether vectors have unit length.
        truncate_dim: Length to which vectors are cut; None for the model's own.
        precision: "float32", "int8", "uint8", "binary" or "ubinary", as for `encode`.
        compute_type: "int8" or "float32".
        threads: The most threads to use; None for what the process may use.
        truncation: What happens to texts that are too long: "silent", "warn" or "error".
        cache_folder: As for `SentenceTransformer`.
        revision: As for `SentenceTransformer`.
        source: As for `SentenceTransformer`.
    """

    model_name_or_path: str = "bge-micro-v2"
    normalize_embeddings: bool = True
    truncate_dim: int | None = None
    precision: Precision = "float32"
    compute_type: ComputeType = "int8"
    threads: int | None = None
    truncation: Truncation = "silent"
    cache_folder: str | None = None
    revision: str | None = None
    source: Literal["cache"] | None = None

    def __post_init__(self) -> None:
        """Write paths as strings, so that all settings are JSON."""
        for name in ("model_name_or_path", "cache_folder"):
            path = getattr(self, name)
            if path is not None:
                object.__setattr__(self, name, _as_text(path))

    @cached_property
    def model(self) -> SentenceTransformer:
        """The model, loaded at its first use; it is shared, so do not change its settings."""
        from bge_micro import SentenceTransformer

        settings = {
            name: value for name, value in asdict(self).items() if name not in _OPTIONS_OF_ENCODE
        }
        key = tuple(settings.values())
        with _loading:
            model = _loaded.get(key)
            if model is None:
                model = _loaded[key] = SentenceTransformer(**settings)
        return model

    @property
    def dimensions(self) -> int:
        """Length of the vectors."""
        return self.model.get_embedding_dimension()

    def settings(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults: ``HeldModel(**settings)`` is equal."""
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}

    def documents(self, texts: Texts, **options: Unpack[PromptOptions]) -> NDArray[Any]:
        """Encode n documents: (n, columns). Options are those of `encode`.

        Raises:
            TypeError: `texts` is one string; frameworks would take its vector for a list of rows.
        """
        check_many(texts)
        vectors: NDArray[Any] = self.model.encode_document(texts, **self._options(), **options)
        return vectors

    def queries(self, texts: Texts, **options: Unpack[PromptOptions]) -> NDArray[Any]:
        """Encode n search queries: (n, columns). Options are those of `encode`.

        Raises:
            TypeError: `texts` is one string, as in `documents`.
        """
        check_many(texts)
        vectors: NDArray[Any] = self.model.encode_query(texts, **self._options(), **options)
        return vectors

    def query(self, text: str) -> NDArray[Any]:
        """Encode one search query: (columns,).

        Raises:
            TypeError: It is not a string.
        """
        check_one(text)
        vector: NDArray[Any] = self.queries([text])[0]
        return vector

    async def adocuments(self, texts: Texts) -> NDArray[Any]:
        """Encode as `documents` does, in a thread: the event loop goes on meanwhile.

        The model, if it is yet to be loaded, is loaded in that thread too.
        """
        vectors: NDArray[Any] = await run_in_thread(self.documents, texts)
        return vectors

    async def aquery(self, text: str) -> NDArray[Any]:
        """Encode as `query` does, in a thread: the event loop goes on meanwhile."""
        check_one(text)
        vectors: NDArray[Any] = await run_in_thread(self.queries, [text])
        vector: NDArray[Any] = vectors[0]
        return vector

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _OPTIONS_OF_ENCODE}

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the settings; another process loads the model again when it needs it.

        Relative paths become absolute: the other process may run in another folder.
        """
        from bge_micro.checkpoint import absolute_name

        settings = asdict(self)
        settings["model_name_or_path"] = absolute_name(self.model_name_or_path)
        if self.cache_folder is not None:
            settings["cache_folder"] = os.path.abspath(self.cache_folder)
        return settings


def hold(
    model_name_or_path: str | os.PathLike[str] = "bge-micro-v2", **settings: Unpack[HeldSettings]
) -> HeldModel:
    """Return the model of some settings.

    Args:
        model_name_or_path: As for `SentenceTransformer`.
        **settings: The other settings of `HeldModel`.

    Raises:
        UnknownOptionError: There is no such setting.
    """
    refuse_unknown("HeldModel", HeldModel.__init__, settings)
    return HeldModel(_as_text(model_name_or_path), **settings)


def _as_text(path: str | os.PathLike[str]) -> str:
    """Return a path as a string that cannot be read as a model's name; strings unchanged."""
    if isinstance(path, str) or os.path.isabs(path):
        return os.fspath(path)
    return os.path.join(os.curdir, path)


def check_many(texts: Any) -> None:
    """Refuse one string where a list belongs; frameworks would read one vector as many rows.

    Raises:
        TypeError: It is a string.
    """
    if isinstance(texts, str):
        raise TypeError(f"expected a list of texts, found one string; pass [text]: {texts[:40]!r}.")


def check_one(text: Any) -> None:
    """Refuse anything but a string where one text belongs.

    Raises:
        TypeError: It is not a string.
    """
    if not isinstance(text, str):
        raise TypeError(f"expected one text, a string, found a {type(text).__name__}.")


class HoldsModel:
    """A framework's object that is told the settings of a model.

    Attributes:
        precisions: Those that the framework can compare.
    """

    precisions: ClassVar[tuple[Precision, ...]] = PRECISIONS

    def __init__(
        self,
        model_name_or_path: str | os.PathLike[str] = "bge-micro-v2",
        **settings: Unpack[HeldSettings],
    ) -> None:
        """Remember what to load.

        Args:
            model_name_or_path: As for `SentenceTransformer`.
            **settings: The other settings of `HeldModel`.

        Raises:
            ValueError: The framework cannot compare vectors of this precision.
        """
        self._held = hold(model_name_or_path, **settings)
        if self._held.precision not in self.precisions:
            raise ValueError(
                f"precision is {self._held.precision!r}, but vectors are compared by their cosine "
                f"or distance here, which needs {' or '.join(self.precisions)}."
            )
