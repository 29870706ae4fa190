"""Make a plan from a model's settings and a call's options, and results from a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.choices import PRECISIONS, TRUNCATIONS, Precision, Truncation, check_choice
from bge_micro.encoded import Encoded
from bge_micro.inputs import read_texts
from bge_micro.options import check_positive, check_prompt
from bge_micro.outputs import rows_for
from bge_micro.pipeline import Pipeline, Poll
from bge_micro.plan import Plan
from bge_micro.runtime import check_threads

if TYPE_CHECKING:
    from bge_micro.option_types import Texts


class PlanMixin:
    """Makes plans, and runs them. Every vector is made through these methods."""

    prompts: dict[str, str]
    default_prompt_name: str | None
    truncate_dim: int | None
    truncation: Truncation
    _pipeline: Pipeline
    _threads: int
    _max_seq_length: int

    def plan(
        self,
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        precision: Precision = "float32",
        truncation: Truncation | None = None,
        threads: int | None = None,
    ) -> Plan:
        """Check options and the model's settings, and make one value of them for `run`.

        Args:
            prompt_name: Name of the prompt to put before each text.
            prompt: The prompt itself; wins over prompt_name.
            normalize_embeddings: Bring vectors to unit length.
            truncate_dim: Length to cut vectors to; None for the model's own.
            precision: "float32", "int8", "uint8", "binary" or "ubinary".
            truncation: "silent", "warn" or "error"; None for the model's own.
            threads: The most threads to use; None for the model's own.

        Returns:
            The plan: immutable, hashable, and free of later changes of the model's settings.

        Raises:
            TypeError: A prompt is not a string, or a number not an integer.
            ValueError: An option has a value that makes no sense here.
        """
        text = self._prompt_text(prompt_name, prompt)
        limit = self._max_seq_length
        checkpoint = self._pipeline.checkpoint
        whole_length = checkpoint.dimensions
        dimensions = truncate_dim if truncate_dim is not None else self.truncate_dim
        if dimensions is None:
            dimensions = whole_length
        else:
            dimensions = min(check_positive("truncate_dim", dimensions), whole_length)
        by_model = checkpoint.normalize
        # A Normalize module acts before truncation; normalising again would undo its effect.
        whole = by_model and dimensions < whole_length and not normalize_embeddings
        return Plan(
            text,
            limit,
            self._pipeline.skipped_tokens(text, limit),
            dimensions,
            (normalize_embeddings or by_model) and not whole,
            whole,
            check_choice("precision", precision, PRECISIONS),
            check_choice("truncation", truncation or self.truncation, TRUNCATIONS),
            self._threads if threads is None else check_threads(threads),
        )

    def run(
        self,
        inputs: str | Texts | Sequence[NDArray[np.integer[Any]]],
        plan: Plan,
        *,
        vectors: bool = True,
        token_embeddings: bool = False,
        out: NDArray[Any] | None = None,
        poll: Poll | None = None,
    ) -> Encoded:
        """Encode texts, or texts as token ids, by a plan, in one pass.

        `encode` calls this and converts the results to the form that its other options name.

        Args:
            inputs: n texts, in a form that `encode` takes; or a list of n arrays of token ids,
                which the model gets unchanged, so they must include special tokens.
            plan: A value that this model's `plan` returned.
            vectors: Whether to return vectors.
            token_embeddings: Whether to return the embeddings of all tokens.
            out: Array of shape (n, plan.columns) and plan.dtype to write vectors to.
            poll: As for `encode`.

        Returns:
            The results, with the number of tokens used and whether each text was truncated.

        Raises:
            TypeError: A row is neither text nor token ids.
            ValueError: An id is not in the vocabulary, or there are too many, or there are ids and
                a prompt; a text is too long and the plan's truncation is "error"; or `out` has
                another shape.
        """
        rows: Sequence[Any]
        if isinstance(inputs, list) and inputs and isinstance(inputs[0], np.ndarray):
            if plan.prompt:
                raise ValueError("the plan has a prompt, which cannot be put before token ids.")
            rows = list(inputs)
        else:
            rows = read_texts(inputs, "strict").rows
        target = rows_for(out, len(rows), plan) if vectors else None
        return self._pipeline.run(
            rows, plan, out=target, token_embeddings=token_embeddings, poll=poll
        )

    def get_embedding_dimension(self) -> int:
        """Return the length of the vectors."""
        return self.plan(prompt="").dimensions

    @property
    def space_id(self) -> str:
        """Name of the space that `encode`'s vectors are in by default; see `space_id_of`."""
        return self.space_id_of()

    def space_id_of(
        self,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        precision: Precision = "float32",
    ) -> str:
        """Name the space of vectors made with these options.

        Vectors compare bit by bit exactly if their space ids are equal: the id names weights,
        compute type, numerics version, pooling, normalisation, dimensions and precision.
        """
        return self._pipeline.space_id(
            self.plan(
                prompt="",
                normalize_embeddings=normalize_embeddings,
                truncate_dim=truncate_dim,
                precision=precision,
            )
        )

    def _prompt_text(self, name: str | None, prompt: str | None) -> str:
        if prompt is not None:
            return check_prompt("prompt", prompt)
        name = name if name is not None else self.default_prompt_name
        if name is None:
            return ""
        if name not in self.prompts:
            known = ", ".join(map(repr, self.prompts)) or "none"
            raise ValueError(f"prompt_name is {name!r}; prompts of this model: {known}.")
        return check_prompt(f"prompts[{name!r}]", self.prompts[name])
