"""A loaded model: checkpoint, tokenizer and core together. Immutable, shared by any threads."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bge_micro import _core
from bge_micro.checkpoint import Checkpoint, bundled_folder
from bge_micro.checkpoint.tensors import is_quantized
from bge_micro.outputs import VectorForm
from bge_micro.pieces import tokenized
from bge_micro.tokenization import RaggedBatch, Tokenizer, read_tokenizer

# What an encoding calls every 20 ms or so; an exception it raises ends the encoding.
Poll = Callable[[], object]

COMPUTE_TYPES = ("int8", "float32")
TRUNCATIONS = ("silent", "warn", "error")

# Rows named in a message about truncation.
_NAMED_ROWS = 10


class MemoryUsage(NamedTuple):
    """Bytes that a model holds.

    Attributes:
        checkpoint: The weight file's tensors, with the embedding tables that are read in place. Of
            a mapped file (the bundled one is) only what is used is in memory, and processes share
            it.
        packed: The linear layers as the instruction set wants them.
        workspaces: Scratch memory, kept for the next call. It is bounded by the longest text and
            the number of threads at work at once, whatever the number of texts;
            `SentenceTransformer.trim` frees it.
    """

    checkpoint: int
    packed: int
    workspaces: int


class Engine:
    """Texts in, vectors out, for one checkpoint, compute type and instruction set."""

    def __init__(self, checkpoint: Checkpoint, compute_type: str, isa: str) -> None:
        """Load the tokenizer and pack the weights.

        Raises:
            ValueError: The compute type is unknown, or tokenizer and weights do not fit together.
        """
        if compute_type not in COMPUTE_TYPES:
            raise ValueError(
                f"compute_type is {compute_type!r}, expected one of {', '.join(COMPUTE_TYPES)}."
            )
        config = checkpoint.config
        self.checkpoint = checkpoint
        self.compute_type = compute_type
        self.tokenizer = _load_tokenizer(checkpoint)
        tensors = checkpoint.tensors
        if compute_type == "int8" and not is_quantized(tensors, config):
            from bge_micro.quantize import quantize_checkpoint  # the bundled model needs none of it

            tensors = quantize_checkpoint(tensors, config)
        self._core = _core.Engine(config, tensors, compute_type, isa)

    @property
    def isa(self) -> str:
        """The instruction set that runs."""
        return self._core.isa

    def memory_usage(self) -> MemoryUsage:
        """Tell how many bytes are held, and for what."""
        checkpoint = sum(tensor.nbytes for tensor in self.checkpoint.tensors.values())
        return MemoryUsage(checkpoint, self._core.packed_bytes, self._core.workspace_bytes)

    def trim(self) -> None:
        """Free the workspaces that no call is using."""
        self._core.trim()

    def space_id(self, form: VectorForm) -> str:
        """Name everything that decides which vectors of this form compare with each other."""
        prompt = "" if self.checkpoint.include_prompt else "-without-prompt"
        fields = (
            f"weights={self._weights_sha256[:16]}",
            f"compute={self.compute_type}",
            f"numerics={_core.numerics_version}",
            f"pooling={self.checkpoint.pooling}{prompt}",
            f"normalize={'whole' if form.normalize_whole else str(form.normalize).lower()}",
            f"dimensions={form.dimensions}",
            f"precision={form.precision}",
        )
        return ";".join(fields)

    @cached_property
    def _weights_sha256(self) -> str:
        return self.checkpoint.weights_sha256()

    def vectors(
        self,
        texts: Sequence[str],
        form: VectorForm,
        out: NDArray[Any],
        *,
        prefix: str,
        limit: int,
        truncation: str,
        threads: int,
        poll: Poll | None,
        advance: Callable[[int], object],
    ) -> None:
        """Write the vector of each text to its row of `out`.

        Args:
            texts: n texts.
            form: The form of the vectors.
            out: (n, form.columns) of form.dtype, in C order.
            prefix: What stands before each text.
            limit: Tokens of a text that are used, special tokens included.
            truncation: "silent", "warn" or "error", for texts of more tokens.
            threads: The most threads to use.
            poll: Called now and then; what it raises ends the work.
            advance: Called with the number of texts done, piece by piece.
        """
        truncated: list[int] = []
        skip = self.unpooled_tokens(prefix, limit)
        ahead = threads > 1
        with closing(self._tokenized(texts, limit, threads, prefix, ahead=ahead)) as batches:
            for first, batch in batches:
                self._note_truncated(batch, first, truncation, limit, truncated)
                rows = batch.texts
                vectors = out[first : first + rows]
                self._run(batch, form, threads, skip=skip, poll=poll, vectors=vectors)
                advance(rows)
        _warn_truncated(truncated, limit)

    def token_embeddings(
        self,
        texts: Sequence[str],
        *,
        prefix: str,
        limit: int,
        truncation: str,
        threads: int,
        poll: Poll | None,
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """Yield each text's token ids, (tokens,), and their embeddings, (tokens, hidden)."""
        form = VectorForm(self.checkpoint.config.hidden, False, "float32")
        truncated: list[int] = []
        for first, batch in self._tokenized(texts, limit, threads, prefix, ahead=False):
            self._note_truncated(batch, first, truncation, limit, truncated)
            rows = np.empty((len(batch.ids), self.checkpoint.config.hidden), np.float32)
            self._run(batch, form, threads, poll=poll, token_embeddings=rows)
            for begin, end in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
                yield batch.ids[begin:end], rows[begin:end]
        _warn_truncated(truncated, limit)

    def _tokenized(
        self, texts: Sequence[str], limit: int, threads: int, prefix: str, *, ahead: bool
    ) -> Generator[tuple[int, RaggedBatch], None, None]:
        def tokenize(piece: list[str]) -> RaggedBatch:
            return self.tokenizer.ragged(piece, limit, threads, prefix=prefix)

        return tokenized(texts, tokenize, ahead=ahead)

    def unpooled_tokens(self, prefix: str, limit: int) -> int:
        """Return how many of each text's first tokens are not pooled: the prompt's, or none."""
        if self.checkpoint.include_prompt or not prefix:
            return 0
        return int(self.tokenizer.ragged([prefix], limit).counts[0]) - self.tokenizer.suffix_count

    def pool(
        self, batch: RaggedBatch, form: VectorForm, threads: int, skip: int = 0
    ) -> NDArray[Any]:
        """Return the vectors of a batch, (n, form.columns) of form.dtype.

        The first `skip` tokens of each text are not pooled.
        """
        vectors = np.empty((batch.texts, form.columns), form.dtype)
        self._run(batch, form, threads, skip=skip, poll=None, vectors=vectors)
        return vectors

    def pool_ids(self, ids: NDArray[np.int32], form: VectorForm, skip: int) -> NDArray[Any]:
        """Return the vector of one text given as token ids, pooled without its first `skip`."""
        batch = RaggedBatch(ids, np.array([0, len(ids)], np.int64), np.array([False]))
        vector: NDArray[Any] = self.pool(batch, form, 1, skip)[0]
        return vector

    def _run(
        self,
        batch: RaggedBatch,
        form: VectorForm,
        threads: int,
        *,
        skip: int = 0,
        poll: Poll | None,
        **outputs: NDArray[Any],
    ) -> None:
        if poll is not None:
            poll()
        self._core.encode(
            batch.ids,
            batch.offsets,
            pooling=self.checkpoint.pooling,
            dimensions=form.dimensions,
            normalize=form.normalize,
            precision=form.precision,
            threads=threads,
            normalize_whole=form.normalize_whole,
            skip=skip,
            poll=poll,
            **outputs,
        )

    @staticmethod
    def _note_truncated(
        batch: RaggedBatch, start: int, truncation: str, limit: int, noted: list[int]
    ) -> None:
        if truncation == "silent" or not batch.truncated.any():
            return
        rows = (start + np.flatnonzero(batch.truncated)).tolist()
        if truncation == "error":
            raise ValueError(_truncation_message(rows, limit))
        noted.extend(rows)


def _load_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    path = checkpoint.tokenizer_file
    if path.suffix == ".json" and checkpoint.normalizer is None:
        tokenizer = Tokenizer.from_file(path)
    else:
        text = json.dumps(read_tokenizer(path, checkpoint.normalizer))
        tokenizer = Tokenizer.from_json(text, source=str(path))
    # Of the bundled model a test knows that they fit; listing its ids takes 10 ms of a start.
    if path.parent != bundled_folder() and tokenizer.max_id >= checkpoint.config.vocab:
        raise ValueError(
            f"{path}: the tokenizer gives ids up to {tokenizer.max_id}, but config.json says "
            f"vocab_size {checkpoint.config.vocab}: they belong to different models."
        )
    return tokenizer


def _warn_truncated(rows: list[int], limit: int) -> None:
    """Warn at the line, outside this package, that asked for the vectors."""
    if not rows:
        return
    package = __name__.partition(".")[0]
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        level, frame = level + 1, frame.f_back
    warnings.warn(_truncation_message(rows, limit), stacklevel=level)


def _truncation_message(rows: list[int], limit: int) -> str:
    named = ", ".join(map(str, rows[:_NAMED_ROWS])) + (", ..." if len(rows) > _NAMED_ROWS else "")
    return (
        f"{len(rows)} texts have more than {limit} tokens and would be used up to there only "
        f"(rows {named}). Split them, raise max_seq_length if the model allows it, or set "
        "truncation='silent'."
    )


def check_truncation(truncation: str) -> str:
    """Return `truncation` if it names a way to treat long texts; ValueError otherwise."""
    if truncation not in TRUNCATIONS:
        raise ValueError(f"truncation is {truncation!r}, expected one of {', '.join(TRUNCATIONS)}.")
    return truncation
