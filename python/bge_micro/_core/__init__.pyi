"""Types of the C++ core, an extension module; private, its interface may change at any time."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro._core import kernels as kernels

numerics_version: int
parallel_backend: str

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
def instruction_sets() -> list[tuple[str, bool]]: ...

class DefaultFloatMode:
    def __enter__(self) -> None: ...
    def __exit__(self, *exception: object) -> None: ...

class Model:
    def __init__(
        self,
        config: Mapping[str, float],
        tensors: Mapping[str, NDArray[Any]],
        compute_type: str,
        isa: str = "",
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
