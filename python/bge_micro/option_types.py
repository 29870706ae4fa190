"""What the encode methods and the constructor take, as types; imported by type checkers only.

The keywords that decide what is returned are named in the overloads of `signatures`; those that do
not are here, once for all methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bge_micro.choices import ComputeType, Errors, Precision, Truncation
from bge_micro.pipeline import Poll
from bge_micro.scores import ActivationFn


class Column(Protocol):
    """A column of pandas or Polars."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def to_list(self) -> list[Any]:
        """Return the rows as Python's objects."""


class ArrowColumn(Protocol):
    """An Arrow array, chunked or not."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def to_pylist(self) -> list[Any]:
        """Return the rows as Python's objects."""


class TorchDevice(Protocol):
    """A torch.device; torch itself need not be installed."""

    @property
    def type(self) -> str:
        """The kind of device."""

    @property
    def index(self) -> int | None:
        """Which of them."""


class TorchTensor(Protocol):
    """A torch.Tensor; torch itself need not be installed."""

    requires_grad: bool

    def detach(self) -> Any:
        """Return the tensor without its gradient."""


Tensors: TypeAlias = TorchTensor | list[TorchTensor]

# Rows may be None where errors="replace" or "skip" says what becomes of them.
Texts: TypeAlias = Sequence[str | None] | NDArray[np.str_ | np.object_] | Column | ArrowColumn
# A pair of texts for a reranker, the query first, and a list of such pairs.
PairText: TypeAlias = tuple[str, str] | list[str]
PairTexts: TypeAlias = PairText | Sequence[PairText] | NDArray[np.str_ | np.object_]
Device: TypeAlias = Literal["cpu", "cpu:0"] | TorchDevice | None
Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float32]
Signed: TypeAlias = NDArray[np.int8]
Unsigned: TypeAlias = NDArray[np.uint8]
SignedPrecision: TypeAlias = Literal["int8", "binary"]
UnsignedPrecision: TypeAlias = Literal["uint8", "ubinary"]


class Everything(TypedDict):
    """What `encode(output_value=None)` gives for a text."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_embeddings: Floats
    sentence_embedding: Floats


class CommonOptions(TypedDict, total=False):
    """Keywords of the encode methods that decide neither what is returned nor its form."""

    batch_size: int
    show_progress_bar: bool | None
    device: Device
    truncation: Truncation | None
    threads: int | None
    poll: Poll | None
    pool: None
    chunk_size: None


class PredictOptions(CommonOptions, total=False):
    """Keywords of `predict` that decide neither what is returned nor its form."""

    activation_fn: ActivationFn | None
    apply_softmax: bool | None


class EncodeOptions(CommonOptions, total=False):
    """Keywords of `encode` that do not decide the type of what is returned."""

    errors: Errors | None
    normalize_embeddings: bool
    truncate_dim: int | None
    ranges: ArrayLike | None
    out: Array | None


class PromptOptions(CommonOptions, total=False):
    """Keywords of `encode` for vectors whose form is decided already."""

    prompt_name: str | None
    prompt: str | None


class BlockOptions(TypedDict, total=False):
    """Keywords of `encode_iter`."""

    prompt_name: str | None
    prompt: str | None
    show_progress_bar: bool | None
    precision: Precision
    device: Device
    normalize_embeddings: bool
    truncate_dim: int | None
    ranges: ArrayLike | None
    errors: Errors | None
    truncation: Truncation | None
    threads: int | None
    poll: Poll | None


class ExportName(TypedDict):
    """What `model_kwargs` may hold: the ONNX export to load, as for file_name."""

    file_name: str


class RefusedAtLoad(TypedDict, total=False):
    """Keywords of sentence-transformers' constructor that may ask for nothing, or for an export."""

    modules: None
    trust_remote_code: Literal[False]
    model_kwargs: ExportName | None
    processor_kwargs: None
    tokenizer_kwargs: None
    config_kwargs: None
    model_card_data: None
    backend: Literal["torch", "onnx"] | None


class HeldSettings(TypedDict, total=False):
    """The settings of `integrations.held.HeldModel`, without the model's name."""

    normalize_embeddings: bool
    truncate_dim: int | None
    precision: Precision
    compute_type: ComputeType
    threads: int | None
    truncation: Truncation
    cache_folder: str | None
    revision: str | None
    source: Literal["cache"] | None
