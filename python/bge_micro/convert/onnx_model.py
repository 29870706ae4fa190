"""What an ONNX export of a BERT encoder holds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint.config import EncoderConfig
from bge_micro.checkpoint.dense import Dense
from bge_micro.checkpoint.file_content import FileContent
from bge_micro.checkpoint.tensors import Tensors
from bge_micro.convert.onnx_outputs import Outputs


class Quantised(NamedTuple):
    """A quantised matrix as an export has it.

    Attributes:
        integers: Integers less their zero point, in [-255, 255], [rows, columns].
        scale: float32 [1], or one a row: the matrix is ``integers * scale[:, None]``.
    """

    integers: NDArray[Any]
    scale: NDArray[np.float32]


class OnnxModel(NamedTuple):
    """An encoder.

    Attributes:
        config: Its sizes.
        tensors: Its tensors under their BERT names, sorted. Quantised matrices are the integers of
            the export where they are symmetric and so fit our format, else floats.
        quantised: The export's integers, by the same names: of linear layers that are symmetric,
            and of all tables.
        outputs: What it makes of the encoder's result; for a reranker, of its first token.
        head: A reranker's layers behind the encoder; none for an encoder.
        files: The export's files as they were loaded.
    """

    config: EncoderConfig
    tensors: Tensors
    quantised: dict[str, Quantised]
    outputs: Outputs
    head: tuple[Dense, ...]
    files: tuple[FileContent, ...]
