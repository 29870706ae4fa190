"""CTranslate2, which takes lists of ids and pads them; pooling is done here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from bench.files import HIDDEN, ModelFiles
from bench.sides.base import (
    BATCH_SIZES,
    Side,
    Vectors,
    as_float32,
    batches_by_length,
    load_tokenizer,
    mean_pool,
    versions,
)


@dataclass
class CTranslate2Side:
    """Batches of similar lengths, as ragged lists."""

    encoder: Any
    tokenizer: Tokenizer
    versions: dict[str, str]
    batch_sizes: Sequence[int] = BATCH_SIZES

    def encode(self, texts: Sequence[str], batch_size: int) -> Vectors:
        out = np.empty((len(texts), HIDDEN), np.float32)
        all_ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]
        for rows in batches_by_length(all_ids, batch_size):
            ids = [all_ids[row] for row in rows]
            tokens = as_float32(self.encoder.forward_batch(ids).last_hidden_state)
            lengths = np.array([len(row) for row in ids])
            mask = (np.arange(tokens.shape[1]) < lengths[:, None]).astype(np.int64)
            out[rows] = mean_pool(tokens, mask)
        return out


def load(files: ModelFiles, threads: int, compute_type: str) -> Side:
    """Load the converted model; CTranslate2 quantises while loading."""
    import ctranslate2

    encoder = ctranslate2.Encoder(
        str(files.make("ctranslate2_float32", lambda out: _convert(files, out))),
        device="cpu",
        compute_type=compute_type,
        inter_threads=1,
        intra_threads=threads,
    )
    return CTranslate2Side(encoder, load_tokenizer(files), versions("ctranslate2"))


def _convert(files: ModelFiles, out: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    # It adds a pooler, which the model does not have; its output is not used.
    TransformersConverter(str(files.float_folder())).convert(str(out))
