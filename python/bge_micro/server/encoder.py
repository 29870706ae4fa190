"""Rows to vectors and tokens, over the engine of a loaded model; runs in the engine's thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro import SentenceTransformer
from bge_micro.outputs import VectorForm
from bge_micro.server.errors import InputError
from bge_micro.tokenization import RaggedBatch, replace_surrogates


@dataclass(frozen=True)
class Kind:
    """What rows have in common that go through the core in one call."""

    form: VectorForm
    prefix: str
    are_ids: bool


class Encoder:
    """A loaded model, as the server needs it."""

    def __init__(self, model: SentenceTransformer) -> None:
        """Take what the model is set to; later changes of its settings have no effect."""
        self._engine = model._engine
        self._threads = model.threads
        self.prompts = dict(model.prompts)
        self._default_prompt = model.default_prompt_name
        self._tokenizer = model.tokenizer
        self.pooling = self._engine.checkpoint.pooling
        self.vocabulary = self._engine.checkpoint.config.vocab
        self.limit = model.max_seq_length
        self.dimensions = model.get_embedding_dimension()

    def prefix(self, prompt_name: str) -> str:
        """Return what stands before each text: the prompt of a name, "" meaning the default.

        Raises:
            InputError: The model has no such prompt.
        """
        name = prompt_name or self._default_prompt
        if name is None:
            return ""
        if name not in self.prompts:
            known = ", ".join(map(repr, self.prompts)) or "none"
            raise InputError(
                f"prompt_name: the model has no such prompt; it has {known}", param="prompt_name"
            )
        return self.prompts[name]

    def form(self, dimensions: int | None, normalize: bool) -> VectorForm:
        """Return the form of float32 vectors; `dimensions` of None means all."""
        normalize = normalize or self._engine.checkpoint.normalize
        return VectorForm(dimensions or self.dimensions, normalize, "float32")

    def batch_of(self, rows: Sequence[Any], kind: Kind) -> RaggedBatch:
        """Tokenize texts, or join token ids that `check_ids` has seen."""
        if not kind.are_ids:
            return self._engine.tokenizer.ragged(
                rows, self.limit, self._threads, prefix=kind.prefix
            )
        return RaggedBatch(
            ids=np.concatenate(rows),
            offsets=np.cumsum([0, *map(len, rows)], dtype=np.int64),
            truncated=np.zeros(len(rows), np.bool_),
        )

    def check_ids(self, row: list[Any], number: int) -> NDArray[np.int32]:
        """Return a row of token ids as an array.

        The model sees just these ids: special tokens are not added.

        Raises:
            InputError: They are no ids of this model, or more than it takes.
        """
        most = self.vocabulary - 1
        if not 1 <= len(row) <= self.limit:
            raise InputError(f"row {number} has {len(row)} token ids, expected 1 to {self.limit}")
        numbers = (int, float)  # 5.0 is a whole number in JSON
        if not all(type(n) in numbers and 0 <= n <= most and n == int(n) for n in row):
            raise InputError(
                f"row {number} holds something that is no token id of this model, expected whole "
                f"numbers from 0 to {most}; ids of another model's tokenizer (of tiktoken, say) "
                "have no meaning here: send texts"
            )
        return np.array(row, np.int32)

    def encode(self, batch: RaggedBatch, form: VectorForm) -> NDArray[np.float32]:
        """Return the vectors of a batch, (n, form.dimensions)."""
        return self._engine.pool(batch, form, self._threads)

    def tokens(self, text: str, *, special: bool) -> list[dict[str, Any]]:
        """Return the tokens of a text, uncut, as TEI lists them."""
        text = replace_surrogates(text)
        # The call for a batch releases the GIL, that for one text does not.
        (encoding,) = self._tokenizer.encode_batch([text], add_special_tokens=special)
        return [
            {
                "id": token,
                "text": word if is_special else text[start:stop],
                "special": bool(is_special),
                "start": None if is_special else start,
                "stop": None if is_special else stop,
            }
            for token, word, is_special, (start, stop) in zip(
                encoding.ids,
                encoding.tokens,
                encoding.special_tokens_mask,
                encoding.offsets,
                strict=True,
            )
        ]
