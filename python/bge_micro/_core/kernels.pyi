"""Single kernels of one instruction set, which only tests and benchmarks call by themselves."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

def quantize(
    isa: str, x: NDArray[np.float32], factor: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]: ...
def linear_seconds(
    isa: str,
    compute_type: str,
    x: NDArray[np.float32],
    weight: NDArray[Any],
    scale: NDArray[np.float32] | None,
    bias: NDArray[np.float32],
    calls: int,
) -> list[float]: ...
def pool(
    isa: str,
    x: NDArray[np.float32],
    pooling: str,
    dimensions: int,
    normalize: bool,
    precision: str,
    row_bytes: int,
) -> NDArray[np.uint8]: ...
def soft_fma(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Any: ...
