"""Single layers of the encoder, of one instruction set: for `bge_micro.quantize`, and for tests."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

def embed(
    isa: str,
    ids: NDArray[np.int32],
    words: NDArray[Any],
    words_scale: NDArray[np.float32],
    positions: NDArray[np.float32],
    token_types: NDArray[np.float32],
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    epsilon: float,
    padding_id: int = -1,
    types: NDArray[np.int32] | None = None,
) -> NDArray[np.float32]: ...
def linear(
    isa: str,
    compute_type: str,
    x: NDArray[np.float32],
    weight: NDArray[Any],
    scale: NDArray[np.float32] | None,
    bias: NDArray[np.float32],
    factor: NDArray[np.float32] | None,
    gelu: bool,
    rows: tuple[int, int] | None = None,
    panels: tuple[int, int] | None = None,
) -> NDArray[np.float32]: ...
def attention(
    isa: str,
    compute_type: str,
    qkv: NDArray[np.float32],
    heads: int,
    distance_bias: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]: ...
def add_norm(
    isa: str,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    epsilon: float,
) -> NDArray[np.float32]: ...
def distance_bucket(distance: int) -> int: ...
