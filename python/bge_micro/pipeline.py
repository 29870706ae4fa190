"""A loaded model: checkpoint, tokenizer and core together. Immutable, shared by any threads."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bge_micro import _core
from bge_micro.batches import tokenized
from bge_micro.checkpoint import Checkpoint, bundled_folder
from bge_micro.checkpoint.tensors import is_quantized
from bge_micro.choices import COMPUTE_TYPES, ComputeType, check_choice
from bge_micro.encoded import Encoded
from bge_micro.plan import Plan
from bge_micro.tokenization import RaggedBatch, Tokenizer, ragged_ids, read_tokenizer

if TYPE_CHECKING:
    from bge_micro.tokenization.pairs import Pair, PairTokenizer

# An encoding calls it every 20 ms or so; an exception that it raises ends the encoding.
Poll = Callable[[], object]


class MemoryUsage(NamedTuple):
    """Bytes of memory that a model uses.

    Attributes:
        checkpoint: The weight file's tensors, with the embedding tables that are read in place. Of
            a mapped file (the bundled one is) only the parts in use are in memory, and processes
            share them.
        packed: The linear layers, packed for the instruction set.
        workspaces: Scratch memory, kept for the next call. It is bounded by the longest text and
            the number of threads that work at once, not by the number of texts;
            `SentenceTransformer.trim` frees it.
    """

    checkpoint: int
    packed: int
    workspaces: int


class Pipeline:
    """Texts or token ids in, vectors out, for one checkpoint, compute type and instruction set."""

    def __init__(self, checkpoint: Checkpoint, compute_type: str, isa: str) -> None:
        """Load the tokenizer and pack the weights.

        Raises:
            ValueError: The compute type is unknown, or tokenizer and weights do not fit together.
        """
        config = checkpoint.config
        self.compute_type: ComputeType = check_choice("compute_type", compute_type, COMPUTE_TYPES)
        self.checkpoint = checkpoint
        self.tokenizer = _load_tokenizer(checkpoint)
        tensors = checkpoint.tensors
        if compute_type == "int8" and not is_quantized(tensors, config):
            from bge_micro.quantize import quantize_checkpoint  # the bundled model needs none of it

            tensors = quantize_checkpoint(tensors, config)
        dense = [(layer.weight, layer.bias, layer.activation) for layer in checkpoint.dense]
        self._core = _core.Engine(config, tensors, compute_type, isa, dense)

    @property
    def isa(self) -> str:
        """The instruction set that runs."""
        return self._core.isa

    def memory_usage(self) -> MemoryUsage:
        """Return the bytes that are used, by purpose."""
        checkpoint = sum(tensor.nbytes for tensor in self.checkpoint.tensors.values())
        return MemoryUsage(checkpoint, self._core.packed_bytes, self._core.workspace_bytes)

    def trim(self) -> None:
        """Free the workspaces that no call is using."""
        self._core.trim()

    def space_id(self, plan: Plan) -> str:
        """Name everything that decides whether vectors of two plans can be compared."""
        prompt = "" if self.checkpoint.include_prompt else "-without-prompt"
        fields = (
            f"weights={self._weights_sha256[:16]}",
            f"compute={self.compute_type}",
            f"numerics={_core.numerics_version}",
            f"pooling={self.checkpoint.pooling}{prompt}",
            f"normalize={'whole' if plan.normalize_whole else str(plan.normalize).lower()}",
            f"dimensions={plan.dimensions}",
            f"precision={plan.precision}",
        )
        return ";".join(fields)

    @cached_property
    def _weights_sha256(self) -> str:
        return self.checkpoint.weights_sha256()

    def tokenize(self, texts: Sequence[str], plan: Plan) -> RaggedBatch:
        """Return the tokens of texts that go to the core by this plan."""
        return self.tokenizer.ragged(texts, plan.limit, plan.threads, prefix=plan.prompt)

    @cached_property
    def pair_tokenizer(self) -> PairTokenizer:
        """The tokenizer of pairs."""
        from bge_micro.tokenization.pairs import PairTokenizer  # only rerankers need it

        return PairTokenizer(self.tokenizer, source=str(self.checkpoint.tokenizer_file))

    def tokenize_pairs(self, pairs: Sequence[Pair], plan: Plan) -> RaggedBatch:
        """Return the tokens of pairs of texts that go to the core by this plan."""
        batch = self.pair_tokenizer.ragged(pairs, plan.limit, plan.threads)
        if self.checkpoint.config.token_types > 1:
            return batch
        return batch._replace(types=None)  # as RoBERTa, which has no types to tell

    def check_limit(self, limit: int) -> None:
        """Refuse a token limit without room for special tokens, or beyond the model's positions.

        Raises:
            ValueError: It is such a limit.
        """
        tokenizer = self.pair_tokenizer if self.checkpoint.scores else self.tokenizer
        tokenizer.ragged([], limit)
        positions = self.checkpoint.config.max_tokens
        if limit > positions:
            raise ValueError(
                f"max_seq_length is {limit}, but the model has {positions} positions only."
            )

    def skipped_tokens(self, prompt: str, limit: int) -> int:
        """Return how many of each text's first tokens are not pooled: the prompt's, or none."""
        if self.checkpoint.include_prompt or not prompt:
            return 0
        return int(self.tokenizer.ragged([prompt], limit).counts[0]) - self.tokenizer.suffix_count

    def run(
        self,
        rows: Sequence[str] | Sequence[Pair] | Sequence[NDArray[np.integer[Any]]],
        plan: Plan,
        *,
        out: NDArray[Any] | None,
        token_embeddings: bool = False,
        poll: Poll | None = None,
        advance: Callable[[int], object] | None = None,
    ) -> Encoded:
        """Encode texts, or texts as token ids, in one pass, whichever results are requested.

        Args:
            rows: n texts; or n pairs of texts, for a reranker; or n arrays of token ids, which the
                model gets unchanged. No thread may change them during the call.
            plan: How they become vectors.
            out: (n, plan.columns) of plan.dtype in C order, for the vectors; None for no vectors.
            token_embeddings: Whether to return the embeddings of all tokens.
            poll: Called now and then; an exception that it raises ends the work.
            advance: Called with the number of texts done, batch by batch.

        Raises:
            ValueError: An id is not in the vocabulary, or there are too many; or a text is too
            long,
                and the plan's truncation is "error".
        """
        encoded = Encoded(out)
        truncated = None
        if plan.truncation != "silent":
            from bge_micro.truncation import TruncatedRows  # most programs need none of it

            truncated = TruncatedRows(plan.truncation, plan.limit)
        done = 0
        with closing(self._batches(rows, plan)) as batches:
            for batch in batches:
                if truncated is not None:
                    truncated.note(batch, done)
                start, done = done, done + batch.texts
                tokens = None
                if token_embeddings:
                    hidden = self.checkpoint.config.hidden
                    tokens = np.empty((len(batch.ids), hidden), np.float32)
                self._encode(batch, plan, None if out is None else out[start:done], tokens, poll)
                encoded.add(batch, tokens)
                if advance is not None:
                    advance(batch.texts)
        if truncated is not None:
            truncated.warn()
        return encoded

    def _batches(self, rows: Sequence[Any], plan: Plan) -> Generator[RaggedBatch, None, None]:
        if not rows:
            return
        if isinstance(rows[0], (str, tuple)):
            tokenize = self.tokenize if isinstance(rows[0], str) else self.tokenize_pairs
            yield from tokenized(rows, lambda batch: tokenize(batch, plan), ahead=plan.threads > 1)
        else:
            yield ragged_ids(rows, plan.limit, self.checkpoint.config.vocab)

    def run_batch(self, batch: RaggedBatch, plan: Plan, out: NDArray[Any]) -> None:
        """Write the vectors, or scores, of one batch of tokenized texts to `out`."""
        self._encode(batch, plan, out, None, None)

    def _encode(
        self,
        batch: RaggedBatch,
        plan: Plan,
        vectors: NDArray[Any] | None,
        token_embeddings: NDArray[np.float32] | None,
        poll: Poll | None,
    ) -> None:
        if poll is not None:
            poll()
        self._core.encode(
            batch.ids,
            batch.offsets,
            pooling=self.checkpoint.pooling,
            dimensions=plan.dimensions,
            normalize=plan.normalize,
            precision=plan.precision,
            threads=plan.threads,
            normalize_whole=plan.normalize_whole,
            skip=plan.skip,
            poll=poll,
            types=batch.types,
            vectors=vectors,
            token_embeddings=token_embeddings,
        )


def _load_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    path = checkpoint.tokenizer_file
    if path.suffix == ".json" and checkpoint.normalizer is None:
        tokenizer = Tokenizer.from_file(path)
    else:
        text = json.dumps(read_tokenizer(path, checkpoint.normalizer))
        tokenizer = Tokenizer.from_json(text, source=str(path))
    # A test checks the bundled model; to list its ids would take 10 ms of a start.
    if path.parent != bundled_folder() and tokenizer.max_id >= checkpoint.config.vocab:
        raise ValueError(
            f"{path}: the tokenizer gives ids up to {tokenizer.max_id}, but config.json says "
            f"vocab_size {checkpoint.config.vocab}: they belong to different models."
        )
    return tokenizer
