"""One pass through the pipeline, and what `encode` makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bge_micro.outputs import check_ranges, quantize_by_ranges, rows_for
from bge_micro.pipeline import Pipeline, Poll
from bge_micro.plan import Plan

Array = NDArray[Any]


def encode_vectors(
    pipeline: Pipeline,
    rows: Sequence[str],
    plan: Plan,
    ranges: ArrayLike | None,
    out: Array | None,
    poll: Poll | None,
    advance: Callable[[int], object],
) -> Array:
    """Return the vectors of texts, (n, columns), quantised by `ranges` if given, in `out` if given.

    Raises:
        ValueError: `out` or `ranges` does not fit the plan.
    """
    target = rows_for(out, len(rows), plan)
    if ranges is None:
        pipeline.run(rows, plan, out=target, poll=poll, advance=advance)
        return target
    limits = check_ranges(ranges, plan)
    plan = plan._replace(precision="float32")
    vectors = rows_for(None, len(rows), plan)
    pipeline.run(rows, plan, out=vectors, poll=poll, advance=advance)
    quantize_by_ranges(vectors, limits, target)
    return target


def encode_tokens(
    pipeline: Pipeline,
    rows: Sequence[str],
    plan: Plan,
    everything: bool,
    finish: Callable[[Array], Any] | None,
    poll: Poll | None,
    advance: Callable[[int], object],
) -> list[Any]:
    """Return each text's token embeddings, or a dict of everything that is known of it."""
    vectors = rows_for(None, len(rows), plan) if everything else None
    encoded = pipeline.run(
        rows, plan, out=vectors, token_embeddings=True, poll=poll, advance=advance
    )
    finish = finish or (lambda array: array)
    if vectors is None:
        return [finish(tokens) for tokens in encoded.token_embeddings]
    return [
        {
            "input_ids": finish(ids.astype(np.int64)),
            "attention_mask": finish(np.ones(len(ids), np.int64)),
            "token_embeddings": finish(tokens),
            "sentence_embedding": finish(vector),
        }
        for ids, tokens, vector in zip(
            encoded.token_ids, encoded.token_embeddings, vectors, strict=True
        )
    ]
