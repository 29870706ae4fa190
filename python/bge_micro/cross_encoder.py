"""`CrossEncoder`: a reranker, which reads a query and a text together and gives a score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from bge_micro import _core
from bge_micro.aio import run_in_thread
from bge_micro.checkpoint import CheckpointError, absolute_name
from bge_micro.checkpoint.dense import TORCH_ACTIVATIONS
from bge_micro.choices import TRUNCATIONS, ComputeType, Truncation, check_choice
from bge_micro.inputs import read_texts
from bge_micro.loaded import LoadedModel
from bge_micro.options import (
    check_device,
    check_positive,
    export_name,
    refuse_at_encode,
    refuse_at_load,
    refuse_unknown,
)
from bge_micro.outputs import tensor_maker
from bge_micro.pair_inputs import read_pairs
from bge_micro.pipeline import Poll
from bge_micro.plan import Plan
from bge_micro.progress import progress_bar
from bge_micro.runtime import check_threads, choose_threads
from bge_micro.score_signatures import like_apredict, like_predict
from bge_micro.scores import ActivationFn, apply_activation, check_activation
from bge_micro.source import ModelSource
from bge_micro.tokenization import RaggedBatch
from bge_micro.tokens import TokenUse

if TYPE_CHECKING:
    from typing_extensions import NotRequired, Unpack

    from bge_micro.option_types import Device, PairTexts, PredictOptions, RefusedAtLoad, Texts

    class RankedText(TypedDict):
        """One of the texts that `rank` returns."""

        corpus_id: int
        score: float
        text: NotRequired[str]


_MISSING: Any = object()


class CrossEncoder(LoadedModel):
    """A reranker: pairs of texts in, scores out.

    For given weights, compute type and numerics version, a pair's score is the same to the last bit
    in any batch, in any order, with any number of threads, on every CPU. One object serves any
    number of Python threads at once. It pickles by its source, not its memory.

    Attributes:
        activation_fn: What turns logits into scores: "identity", "sigmoid" or another name of
            `_core`'s activations, or a function of an array.
        truncation: What happens to pairs that are too long: "silent", "warn" or "error".
    """

    def __init__(
        self,
        model_name_or_path: str | Path,
        num_labels: int | None = None,
        max_length: int | None = None,
        activation_fn: ActivationFn | None = None,
        device: Device = None,
        *,
        cache_folder: str | Path | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        source: Literal["cache"] | None = None,
        compute_type: ComputeType = "int8",
        threads: int | None = None,
        truncation: Truncation = "silent",
        mmap: bool = False,
        verify: bool = False,
        file_name: str | None = None,
        **options: Unpack[RefusedAtLoad],
    ) -> None:
        """Load a reranker: a sequence classifier of transformers or sentence-transformers.

        Args:
            model_name_or_path: A model folder, or a name on the Hugging Face hub, which is fetched
                into the local cache by huggingface_hub (the extra ``bge-micro[hub]``).
            num_labels: Scores of a pair; None for what the model has. Another number is refused.
            max_length: Tokens of a pair that are used, special tokens included; None for the
                model's own limit. The longer text of a pair loses tokens first.
            activation_fn: What turns logits into scores: "identity", "sigmoid", "tanh", "relu",
                "gelu", a module of torch, or a function of an array (n, labels). None for the one
                that the model's files name, else "sigmoid" for one label and "identity" for more.
            device: None or "cpu".
            cache_folder: As for `SentenceTransformer`, and so are all keywords that follow.
            revision: Branch, tag or commit.
            local_files_only: Use no network, as with HF_HUB_OFFLINE=1.
            token: For private models on the hub; not pickled with the model.
            source: "cache" to use only the local cache.
            compute_type: "int8" or "float32". The classifier is in float32 in both.
            threads: The most threads to use.
            truncation: What to do with pairs of more than max_length tokens: "silent" and "warn"
                truncate them, "error" raises a ValueError.
            mmap: Map the weight file of a folder instead of reading it.
            verify: Compare the files with the checksums that the folder's bge_micro.json records.
            file_name: An ONNX export of the model to read the weights from.
            **options: Further keywords of sentence-transformers; refused if they ask for something.

        Raises:
            FileNotFoundError: No complete model was found; the message says where it was sought.
            CheckpointError: A file of the model is damaged or describes another kind of model, such
                as one without a classifier.
            ValueError: An option has no meaning here; the message says why.
        """
        if options:
            refuse_at_load(CrossEncoder.__init__, options)
        check_device(device)
        self._source = ModelSource(
            model_name_or_path if revision or source else absolute_name(model_name_or_path),
            None if cache_folder is None else Path(cache_folder).absolute(),
            revision,
            source,
            compute_type,
            mmap,
            local_files_only,
            token,
            verify,
            export_name(file_name, options),
            task="scores",
        )
        self._pipeline = self._source.load()
        self._threads = int(choose_threads(threads).value)
        self._max_seq_length = self._pipeline.checkpoint.max_seq_length
        if max_length is not None:
            self.max_seq_length = max_length
        self.truncation = check_choice("truncation", truncation, TRUNCATIONS)
        if num_labels not in (None, self.num_labels):
            raise ValueError(
                f"num_labels is {num_labels}, but the model's classifier has {self.num_labels}; "
                "leave it out to take these."
            )
        self.activation_fn = (
            self._usual_activation() if activation_fn is None else check_activation(activation_fn)
        )

    @property
    def num_labels(self) -> int:
        """Scores of a pair."""
        return self._pipeline.checkpoint.dimensions

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the scores, from the model's config.json."""
        scores = self._pipeline.checkpoint.scores
        return scores.labels if scores else ()

    @property
    def max_length(self) -> int:
        """Tokens of a pair that are used, special tokens included; the name of `max_seq_length`."""
        return self._max_seq_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        self.max_seq_length = value

    @like_predict
    def predict(
        self,
        inputs: PairTexts = _MISSING,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        activation_fn: ActivationFn | None = None,
        apply_softmax: bool | None = False,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        *,
        sentences: PairTexts = _MISSING,
        prompt_name: None = None,
        prompt: None = None,
        device: Device = None,
        pool: None = None,
        chunk_size: None = None,
        truncation: Truncation | None = None,
        threads: int | None = None,
        poll: Poll | None = None,
        **options: Any,
    ) -> Any:
        """Score pairs of texts.

        The order of the pairs, their number and the threads change no bit of any score.

        Args:
            inputs: A pair of strings, the query first, or a list of pairs.
            batch_size: Accepted for compatibility; batches are formed by tokens.
            show_progress_bar: None shows one only if the logger "bge_micro" is at INFO or DEBUG.
            activation_fn: As for the constructor; None for the model's own.
            apply_softmax: Have the scores of a pair add up to 1, if there are several labels.
            convert_to_numpy: False gives a list of one score, or array of scores, a pair.
            convert_to_tensor: True gives a torch tensor; needs torch.
            sentences: Another name of inputs.
            prompt_name: Not supported, and neither is prompt: put it before the query.
            prompt: Not supported.
            device: None or "cpu".
            pool: Not supported: threads take its place.
            chunk_size: Not supported: it belongs to pools.
            truncation: "silent", "warn" or "error", over the model's own setting.
            threads: The most threads to use, over the model's own setting.
            poll: Called in this thread every 20 ms or so; an exception that it raises ends the
                work and comes out of predict.
            **options: Unknown names raise a ValueError.

        Returns:
            For a list of n pairs float32 (n,), or (n, labels) if the model has several labels; for
            one pair a float32, or (labels,); or what the options ask for.

        Raises:
            TypeError: Rows are not pairs of strings; the first ten are named.
            ValueError: An option has a value that makes no sense here.
        """
        if options:
            refuse_unknown("predict", CrossEncoder.predict, options)
        refuse_at_encode(
            {"prompt_name": prompt_name, "prompt": prompt, "pool": pool, "chunk_size": chunk_size}
        )
        check_device(device)
        check_positive("batch_size", batch_size)
        if (inputs is _MISSING) == (sentences is _MISSING):
            raise TypeError("predict takes inputs (also called sentences), once.")
        pairs = read_pairs(inputs if sentences is _MISSING else sentences)
        activation = self.activation_fn
        if activation_fn is not None:
            activation = check_activation(activation_fn)
        plan = self.plan(truncation=truncation, threads=threads)
        finish = tensor_maker() if convert_to_tensor else None
        logits = np.empty((len(pairs.rows), self.num_labels), np.float32)
        with progress_bar(show_progress_bar, len(pairs.rows)) as advance:
            self._pipeline.run(pairs.rows, plan, out=logits, poll=poll, advance=advance)
        scores = apply_activation(logits, activation)
        if apply_softmax and self.num_labels > 1:
            scores = _core.softmax(scores)
        if self.num_labels == 1:
            scores = scores[:, 0]
        results = finish(scores) if finish else scores if convert_to_numpy else list(scores)
        return results[0] if pairs.single else results

    def rank(
        self,
        query: str,
        documents: Texts,
        top_k: int | None = None,
        return_documents: bool = False,
        **options: Unpack[PredictOptions],
    ) -> list[RankedText]:
        """Order texts by their scores for a query.

        Args:
            query: The query.
            documents: The texts, in a form that `SentenceTransformer.encode` takes.
            top_k: How many to return; None for all.
            return_documents: Whether to return the texts too.
            **options: As for `predict`: activation_fn, show_progress_bar, truncation, threads, ...

        Returns:
            For each text its place in `documents` ("corpus_id"), its "score", and with
            return_documents its "text": the highest score first, equal ones in their order.

        Raises:
            TypeError: The query or a text is not a string.
            ValueError: The model has several labels, or an option makes no sense here.
        """
        if self.num_labels != 1:
            raise ValueError(
                f"rank needs a model with one label, but this one has {self.num_labels}: "
                f"{', '.join(self.labels)}. Use predict, and choose a label's scores."
            )
        if not isinstance(query, str):
            raise TypeError(f"query is a {type(query).__name__}, expected a string.")
        if isinstance(documents, str):
            raise TypeError("documents is a str, expected a list of strings.")
        if top_k is not None:
            check_positive("top_k", top_k)
        texts = read_texts(documents, "strict").rows
        scores = self.predict([(query, text) for text in texts], **options).tolist()
        best = sorted(range(len(texts)), key=lambda place: -scores[place])[:top_k]
        ranked: list[RankedText] = [{"corpus_id": place, "score": scores[place]} for place in best]
        if return_documents:
            for each in ranked:
                each["text"] = texts[each["corpus_id"]]
        return ranked

    @like_apredict
    async def apredict(self, *args: Any, **options: Any) -> Any:
        """Score pairs without blocking the event loop; as `predict`, which runs in a thread.

        Cancelling it ends the work; it has ended when the cancellation comes out.
        """
        return await run_in_thread(self.predict, *args, **options)

    async def arank(self, *args: Any, **options: Any) -> list[RankedText]:
        """Order texts without blocking the event loop; as `rank`, which runs in a thread."""
        ranked: list[RankedText] = await run_in_thread(self.rank, *args, **options)
        return ranked

    def count_tokens(self, inputs: PairTexts) -> TokenUse:
        """Return how many tokens of each pair are used, and whether it is truncated."""
        batch = self._pipeline.tokenize_pairs(read_pairs(inputs).rows, self.plan())
        return TokenUse(batch.counts, batch.truncated)

    def token_ids(self, inputs: PairTexts, plan: Plan) -> RaggedBatch:
        """Return the token ids, and token types, that pairs have by a plan.

        Returns:
            The ids of all pairs in one array, the offset of each pair, which were truncated, and
            the types, None if all are 0. `run` accepts it, and any pairs of such batches together.
        """
        return self._pipeline.tokenize_pairs(read_pairs(inputs).rows, plan)

    def run(self, batch: RaggedBatch, plan: Plan) -> NDArray[np.float32]:
        """Return the logits of tokenized pairs by a plan: float32 (n, labels).

        `predict` turns them into scores by the model's activation.
        """
        logits = np.empty((batch.texts, self.num_labels), np.float32)
        self._pipeline.run_batch(batch, plan, logits)
        return logits

    def plan(self, *, truncation: Truncation | None = None, threads: int | None = None) -> Plan:
        """Check options and the model's settings, and make one value of them.

        Args:
            truncation: "silent", "warn" or "error"; None for the model's own.
            threads: The most threads to use; None for the model's own.
        """
        return Plan(
            prompt="",
            limit=self._max_seq_length,
            skip=0,
            dimensions=self.num_labels,
            normalize=False,
            normalize_whole=False,
            precision="float32",
            truncation=check_choice("truncation", truncation or self.truncation, TRUNCATIONS),
            threads=self._threads if threads is None else check_threads(threads),
        )

    def _usual_activation(self) -> ActivationFn:
        scores = self._pipeline.checkpoint.scores
        if scores is None or scores.activation is None:
            named = scores.activation_name if scores else "none"
            raise CheckpointError(
                f"{self._pipeline.checkpoint.folder}: the model's activation is {named!r}, but "
                f"only {', '.join(TORCH_ACTIVATIONS)} are known; give another one by "
                'activation_fn=, such as "sigmoid" or a function of an array.'
            )
        return scores.activation

    def __repr__(self) -> str:
        """Say what it is."""
        name = str(self._source.model_name_or_path)
        return (
            f"CrossEncoder({name!r}, compute_type={self.compute_type!r}, "
            f"num_labels={self.num_labels}, isa={self.isa!r}, threads={self.threads})"
        )
