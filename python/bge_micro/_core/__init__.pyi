"""Types of the C++ core, an extension module; private, its interface may change at any time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bge_micro._core import kernels as kernels
from bge_micro._core import layers as layers

numerics_version: int
parallel_backend: str
# The names that each argument takes, such as choices["pooling"].
choices: dict[str, tuple[str, ...]]

def top_k(
    queries: NDArray[Any],
    rows: NDArray[Any],
    k: int,
    *,
    element: str,
    metric: str,
    threads: int,
    isa: str = "",
) -> tuple[NDArray[np.int64], NDArray[Any]]: ...
def activate(x: NDArray[np.float32], activation: str, isa: str = "") -> NDArray[np.float32]: ...
def softmax(x: NDArray[np.float32], isa: str = "") -> NDArray[np.float32]: ...
def instruction_sets() -> list[tuple[str, bool]]: ...
def refusals() -> dict[str, str]: ...

class Vocabulary:
    """The tokens of a tokenizer.json, read from the JSON object that begins at a byte."""

    def __init__(self, json: bytes, begin: int) -> None: ...
    def id_of(self, text: str) -> int | None: ...
    @property
    def max_id(self) -> int: ...
    @property
    def end(self) -> int: ...

class WordPiece:
    """BERT's tokenizer for ASCII texts."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        unknown: int,
        continuing_prefix: str,
        longest_word: int,
        lowercase: bool,
        added: Sequence[str],
        before: Sequence[int],
        after: Sequence[int],
    ) -> None: ...
    def ragged(
        self, texts: Sequence[str], limit: int, prefix: str
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.bool_], list[int]]:
        """Return ids, offsets, which are truncated, and the rows that are not plain: no ids."""

class DefaultFloatMode:
    def __enter__(self) -> None: ...
    def __exit__(self, *exception: object) -> None: ...

class Config(Protocol):
    """The sizes of a BERT encoder: what `bge_micro.checkpoint.EncoderConfig` describes."""

    @property
    def layers(self) -> int: ...
    @property
    def hidden(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def intermediate(self) -> int: ...
    @property
    def vocab(self) -> int: ...
    @property
    def positions(self) -> int: ...
    @property
    def token_types(self) -> int: ...
    @property
    def layer_norm_eps(self) -> float: ...
    @property
    def padding_id(self) -> int: ...
    @property
    def distance_buckets(self) -> int: ...

class Engine:
    def __init__(
        self,
        config: Config,
        tensors: Mapping[str, NDArray[Any]],
        compute_type: str,
        isa: str = "",
        dense: Sequence[tuple[NDArray[np.float32], NDArray[np.float32] | None, str]] = (),
    ) -> None: ...
    def encode(
        self,
        ids: NDArray[np.int32],
        offsets: NDArray[np.int64],
        *,
        pooling: str,
        dimensions: int,
        normalize: bool,
        precision: str,
        threads: int,
        normalize_whole: bool = False,
        skip: int = 0,
        poll: Callable[[], object] | None = None,
        types: NDArray[np.int32] | None = None,
        vectors: NDArray[Any] | None = None,
        token_embeddings: NDArray[np.float32] | None = None,
    ) -> None: ...
    def trim(self) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def packed_bytes(self) -> int: ...
    @property
    def workspace_bytes(self) -> int: ...
