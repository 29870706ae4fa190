"""Token ids that clients send, and tokens that they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import tokenizers
from numpy.typing import NDArray

from bge_micro import SentenceTransformer
from bge_micro.server.errors import InputError
from bge_micro.tokenization import replace_surrogates
from bge_micro.tokenization.reference import special_ids

_SEND_TEXTS = (
    "ids of another model's tokenizer (tiktoken's, say) mean other words here: send texts, which "
    "LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False"
)


class IdReader:
    """Reads token ids that clients send, and recognises those of another model's tokenizer.

    Clients made for OpenAI's models may turn texts into ids by themselves. Most of those ids exist
    here too, as other words. They lack the special tokens that this model has around every text.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        """Learn what ids of this model look like."""
        self._most = model.vocab_size - 1
        self._limit = model.max_seq_length
        tokenizer = model.tokenizer
        self._before, self._after = special_ids(tokenizer, "the model")
        words = [tokenizer.id_to_token(token) for token in (*self._before, *self._after)]
        self._frame = " and ".join(f"{word} ({tokenizer.token_to_id(word)})" for word in words)

    def read(self, row: list[Any], number: int) -> NDArray[np.int32]:
        """Return a row of token ids as an array.

        The model sees just these ids: special tokens are not added.

        Raises:
            InputError: They are no ids of this model, or more than it takes.
        """
        if not 1 <= len(row) <= self._limit:
            raise InputError(f"row {number} has {len(row)} token ids, expected 1 to {self._limit}")
        numbers = (int, float)  # 5.0 is a whole number in JSON
        if not all(type(n) in numbers and 0 <= n <= self._most and n == int(n) for n in row):
            raise InputError(
                f"row {number} holds something that is no token id of this model, expected whole "
                f"numbers from 0 to {self._most}; {_SEND_TEXTS}"
            )
        before, after = self._before, self._after
        framed = row[: len(before)] == before and row[len(row) - len(after) :] == after
        if not framed or len(row) < len(before) + len(after):
            raise InputError(
                f"row {number} has token ids without this model's special tokens, {self._frame}, "
                f"around them; {_SEND_TEXTS}"
            )
        return np.array(row, np.int32)


def write_tokens(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[str], *, special: bool
) -> list[bytes]:
    """Return the tokens of each text, uncut, as the JSON lists of TEI."""
    return [orjson.dumps(_tokens(tokenizer, text, special=special)) for text in texts]


def _tokens(tokenizer: tokenizers.Tokenizer, text: str, *, special: bool) -> list[Any]:
    text = replace_surrogates(text)
    # The call for a batch releases the GIL, that for one text does not.
    (encoding,) = tokenizer.encode_batch([text], add_special_tokens=special)
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
