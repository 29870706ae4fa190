"""The tokens of texts, without their vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bge_micro.choices import Errors
from bge_micro.inputs import read_texts
from bge_micro.plan import Plan
from bge_micro.planning import PlanMixin
from bge_micro.tokenization import RaggedBatch

if TYPE_CHECKING:
    from bge_micro.option_types import Texts


class TokenUse(NamedTuple):
    """The number of tokens used of each text.

    Attributes:
        used: int64, shape (n,): tokens that the vector is made from, special tokens included.
        truncated: bool, shape (n,): whether the text had more.
    """

    used: NDArray[np.int64]
    truncated: NDArray[np.bool_]


class TokenizeMixin(PlanMixin):
    """Methods of a loaded model that only tokenize texts."""

    errors: Errors

    def count_tokens(self, inputs: str | Texts, prompt_name: str | None = None) -> TokenUse:
        """Return how many tokens of each text are used, and whether it is truncated.

        Of a huge text only the part that `encode` reads is read.
        """
        batch = self._pipeline.tokenize(
            read_texts(inputs, self.errors).rows, self.plan(prompt_name=prompt_name)
        )
        return TokenUse(batch.counts, batch.truncated)

    def token_ids(self, inputs: str | Texts, plan: Plan) -> RaggedBatch:
        """Return the token ids that texts have by a plan, its prompt and special tokens included.

        `run` accepts each text's ids with the same plan without its prompt, and gives the vectors
        that it gives for the texts.

        Returns:
            The ids of all texts in one array, the offset of each text, and which were truncated.
        """
        return self._pipeline.tokenize(read_texts(inputs, "strict").rows, plan)

    def tokenize(
        self, inputs: str | Texts, prompt: str | None = None
    ) -> dict[str, NDArray[np.int64]]:
        """Tokenize texts, padded to the longest, in the form that transformers' models take.

        Args:
            inputs: The texts.
            prompt: A text to put before each.

        Returns:
            "input_ids", "token_type_ids" and "attention_mask", each int64 (n, longest).
        """
        plan = self.plan(prompt=prompt or "")
        batch = self._pipeline.tokenize(read_texts(inputs, self.errors).rows, plan)
        counts = batch.counts
        mask = np.arange(counts.max(initial=0)) < counts[:, None]
        ids = np.zeros(mask.shape, np.int64)
        ids[mask] = batch.ids
        return {
            "input_ids": ids,
            "token_type_ids": np.zeros_like(ids),
            "attention_mask": mask.astype(np.int64),
        }

    preprocess = tokenize
