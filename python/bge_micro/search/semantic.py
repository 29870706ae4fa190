"""The search and grouping functions of `sentence_transformers.util`, made with `top_k`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bge_micro.options import check_positive
from bge_micro.progress import progress_bar
from bge_micro.search.top_k import top_k as find
from bge_micro.similarity import as_array

if TYPE_CHECKING:
    from bge_micro.model import SentenceTransformer

# Vectors whose neighbours are searched in one call: this bounds the memory of the results.
_CHUNK_ROWS = 1024

_METRIC_OF = {"cosine": "cosine", "cos_sim": "cosine", "dot": "dot", "dot_score": "dot"}


class CorpusHit(TypedDict):
    """A row of the corpus and its score."""

    corpus_id: int
    score: float


def semantic_search(
    query_embeddings: ArrayLike,
    corpus_embeddings: ArrayLike,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500000,
    top_k: int = 10,
    score_function: Callable[..., Any] | str | None = None,
    *,
    precision: str | None = None,
    threads: int | None = None,
) -> list[list[CorpusHit]]:
    """Find the best rows of a corpus for each query, as sentence-transformers' function does.

    Args:
        query_embeddings: (n, columns), or one vector.
        corpus_embeddings: (rows, columns).
        query_chunk_size: Checked, and otherwise without effect: nothing large is kept.
        corpus_chunk_size: The same.
        top_k: How many rows to find for each query.
        score_function: "cosine" (default) or "dot", or sentence-transformers' cos_sim or dot_score.
        precision: As for `bge_micro.search.top_k`.
        threads: The most threads to use.

    Returns:
        For each query the rows found, best first, as {"corpus_id": row, "score": score}.
    """
    check_positive("query_chunk_size", query_chunk_size)
    check_positive("corpus_chunk_size", corpus_chunk_size)
    found = find(
        np.atleast_2d(as_array(query_embeddings)),
        corpus_embeddings,
        top_k,
        metric=_metric(score_function),
        precision=precision,
        threads=threads,
    )
    return [
        [{"corpus_id": row, "score": float(score)} for row, score in zip(rows, scores, strict=True)]
        for rows, scores in zip(found.indices.tolist(), found.scores.tolist(), strict=True)
    ]


def _metric(score_function: Callable[..., Any] | str | None) -> str:
    if score_function is None:
        return "cosine"
    name = getattr(score_function, "__name__", score_function)
    if name not in _METRIC_OF:
        raise ValueError(
            f"score_function is {name!r}, expected one of {', '.join(_METRIC_OF)}: scores are "
            "computed by the core."
        )
    return _METRIC_OF[str(name)]


def paraphrase_mining(
    model: SentenceTransformer,
    sentences: Sequence[str],
    show_progress_bar: bool = False,
    batch_size: int = 32,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: Callable[..., Any] | str | None = None,
    *,
    threads: int | None = None,
    **options: Any,
) -> list[tuple[float, int, int]]:
    """Find the pairs of sentences that are most alike; see `paraphrase_mining_embeddings`.

    Args:
        model: Encodes the sentences.
        sentences: The sentences.
        show_progress_bar: Whether to show a bar while the sentences are encoded.
        batch_size: As for `model.encode`.
        query_chunk_size: Checked, and otherwise without effect.
        corpus_chunk_size: The same.
        max_pairs: As below.
        top_k: As below.
        score_function: As below.
        threads: The most threads to use.
        **options: For `model.encode`.
    """
    # A model that is not of this package does not know the keyword.
    options |= {} if threads is None else {"threads": threads}
    return paraphrase_mining_embeddings(
        model.encode(
            sentences, show_progress_bar=show_progress_bar, batch_size=batch_size, **options
        ),
        query_chunk_size,
        corpus_chunk_size,
        max_pairs=max_pairs,
        top_k=top_k,
        score_function=score_function,
        precision=options.get("precision"),
        threads=threads,
    )


def paraphrase_mining_embeddings(
    embeddings: ArrayLike,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100000,
    max_pairs: int = 500000,
    top_k: int = 100,
    score_function: Callable[..., Any] | str | None = None,
    *,
    precision: str | None = None,
    threads: int | None = None,
) -> list[tuple[float, int, int]]:
    """Find the pairs of vectors that are most alike.

    Args:
        embeddings: (n, columns).
        query_chunk_size: Checked, and otherwise without effect: nothing large is kept.
        corpus_chunk_size: The same.
        max_pairs: The most pairs to return.
        top_k: How many partners of each vector are considered.
        score_function: As for `semantic_search`.
        precision: As for `bge_micro.search.top_k`.
        threads: The most threads to use.

    Returns:
        (score, i, j) with i < j, the best first, each pair once.
    """
    check_positive("query_chunk_size", query_chunk_size)
    check_positive("corpus_chunk_size", corpus_chunk_size)
    check_positive("max_pairs", max_pairs)
    vectors = as_array(embeddings)
    count = len(vectors)
    scores, pairs = np.empty(0), np.empty(0, np.int64)
    for first in range(0, count, _CHUNK_ROWS):
        found = find(
            vectors[first : first + _CHUNK_ROWS],
            vectors,
            check_positive("top_k", top_k) + 1,  # one of them is usually the vector itself
            metric=_metric(score_function),
            precision=precision,
            threads=threads,
        )
        rows = np.arange(first, first + len(found.indices))[:, None]
        lower, higher = np.minimum(rows, found.indices), np.maximum(rows, found.indices)
        other = lower != higher
        scores = np.concatenate([scores, found.scores[other]])
        pairs = np.concatenate([pairs, (lower * count + higher)[other]])
        scores, pairs = _best_pairs(scores, pairs, max_pairs)
    return (
        list(zip(scores.tolist(), (pairs // count).tolist(), (pairs % count).tolist(), strict=True))
        if count
        else []
    )


def _best_pairs(
    scores: NDArray[Any], pairs: NDArray[np.int64], most: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the best pairs in order, each once: both of its vectors may have found it."""
    pairs, places = np.unique(pairs, return_index=True)
    order = np.argsort(-scores[places], kind="stable")[:most]
    return scores[places][order], pairs[order]


def community_detection(
    embeddings: ArrayLike,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1024,
    show_progress_bar: bool = False,
    *,
    precision: str | None = None,
    threads: int | None = None,
) -> list[list[int]]:
    """Find groups of vectors whose cosine with a central one is at least a threshold.

    Args:
        embeddings: (n, columns).
        threshold: The least cosine.
        min_community_size: Groups with fewer vectors are left out.
        batch_size: Vectors whose neighbours are searched in one call.
        show_progress_bar: Whether to show a bar.
        precision: As for `bge_micro.search.top_k`.
        threads: The most threads to use.

    Returns:
        The groups, the largest first, none overlapping another; of each the rows, the central one
        first and then by similarity.
    """
    vectors = as_array(embeddings)
    count = len(vectors)
    least = check_positive("min_community_size", min_community_size)
    if count < least:
        return []
    groups: list[_Group] = []
    with progress_bar(show_progress_bar, count) as advance:
        for first in range(0, count, check_positive("batch_size", batch_size)):
            rows = np.arange(first, min(first + batch_size, count))
            advance(len(rows))
            k = least
            while len(rows):
                found = find(vectors[rows], vectors, k, precision=precision, threads=threads)
                alike = found.scores >= threshold
                large = alike[:, least - 1]
                # If a row's last neighbour is still above the threshold, there may be more:
                # search again.
                whole = large & ~alike[:, -1] if k < count else large
                groups += [
                    _Group(int(rows[i]), found.indices[i][alike[i]].tolist())
                    for i in np.flatnonzero(whole)
                ]
                rows, k = rows[large & ~whole], min(4 * k, count)
    return _without_overlaps(groups, least)


class _Group(NamedTuple):
    """The rows that are alike to a central one, with itself, the nearest first."""

    centre: int
    rows: list[int]


def _without_overlaps(groups: list[_Group], least: int) -> list[list[int]]:
    # Of groups of equal size, that with the lower central row comes first.
    groups.sort(key=lambda group: (-len(group.rows), group.centre))
    taken: set[int] = set()
    result = []
    for centre, rows in groups:
        if centre in taken:
            continue
        free = [centre, *(row for row in rows if row not in taken and row != centre)]
        if len(free) >= least:
            result.append(free)
            taken.update(free)
    return sorted(result, key=len, reverse=True)
