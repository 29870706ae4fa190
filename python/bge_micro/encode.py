"""The encode methods of `SentenceTransformer`: options in, engine calls, results in their form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from bge_micro.engine import Engine, Poll, check_truncation
from bge_micro.inputs import check_errors_option, read_texts
from bge_micro.options import check_device, check_positive, check_prompt, refuse_at_encode
from bge_micro.outputs import (
    VectorForm,
    check_precision,
    check_ranges,
    quantize_by_ranges,
    rows_for,
    tensor_maker,
)
from bge_micro.progress import progress_bar
from bge_micro.runtime import check_threads

Array = NDArray[Any]

_OUTPUT_VALUES = ("sentence_embedding", "token_embeddings", None)
_OPTIONS = (
    "inputs", "prompt_name", "prompt", "batch_size", "show_progress_bar", "output_value",
    "precision", "convert_to_numpy", "convert_to_tensor", "device", "normalize_embeddings",
    "truncate_dim", "pool", "chunk_size", "sentences", "ranges", "out", "errors", "truncation",
    "threads", "poll",
)  # fmt: skip
_MISSING: Any = object()


class TokenUse(NamedTuple):
    """How much of each text is used.

    Attributes:
        used: int64, shape (n,): tokens that go into the vector, special tokens included.
        truncated: bool, shape (n,): whether the text had more.
    """

    used: NDArray[np.int64]
    truncated: NDArray[np.bool_]


class EncodeMixin:
    """What a loaded model does with texts."""

    prompts: dict[str, str]
    default_prompt_name: str | None
    truncate_dim: int | None
    truncation: str
    errors: str
    _engine: Engine
    _threads: int
    _max_seq_length: int

    @overload
    def encode(
        self, inputs: Any = ..., prompt_name: str | None = ..., prompt: str | None = ...,
        batch_size: int = ..., show_progress_bar: bool | None = ...,
        output_value: Literal["sentence_embedding"] = ..., precision: str = ...,
        convert_to_numpy: Literal[True] = ..., convert_to_tensor: Literal[False] = ...,
        device: Any = ..., normalize_embeddings: bool = ..., truncate_dim: int | None = ...,
        pool: None = ..., chunk_size: None = ..., **options: Any,
    ) -> Array: ...  # fmt: skip
    @overload
    def encode(
        self, inputs: Any = ..., prompt_name: str | None = ..., prompt: str | None = ...,
        batch_size: int = ..., show_progress_bar: bool | None = ...,
        output_value: str | None = ..., precision: str = ...,
        convert_to_numpy: bool = ..., convert_to_tensor: bool = ...,
        device: Any = ..., normalize_embeddings: bool = ..., truncate_dim: int | None = ...,
        pool: None = ..., chunk_size: None = ..., **options: Any,
    ) -> Any: ...  # fmt: skip
    def encode(
        self,
        inputs: Any = _MISSING,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str | None = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: Any = None,
        chunk_size: int | None = None,
        *,
        sentences: Any = _MISSING,
        ranges: Any = None,
        out: Array | None = None,
        errors: str | None = None,
        truncation: str | None = None,
        threads: int | None = None,
        poll: Poll | None = None,
        **options: Any,
    ) -> Any:
        """Encode texts.

        Vectors are truncated, then normalised, then quantised. The order of the texts, their
        number and the threads change no bit of any result.

        Args:
            inputs: A string, or a list, tuple, array, series or Arrow column of strings.
            prompt_name: Name of the prompt to put before each text.
            prompt: The prompt itself; wins over prompt_name.
            batch_size: Accepted for compatibility; batches are formed by tokens.
            show_progress_bar: None shows one only if the logger "bge_micro" is at INFO or DEBUG.
            output_value: "sentence_embedding"; "token_embeddings" for one array (tokens, hidden) a
                text, as the encoder gives them; None for a dict of everything a text.
            precision: "float32"; "int8" is round(127 x / max|x|) of each vector by itself, "uint8"
                that plus 128; "ubinary" the signs, eight to a byte, "binary" that minus 128.
            convert_to_numpy: False gives a list of one array a text.
            convert_to_tensor: True gives a torch tensor; needs torch.
            device: None or "cpu".
            normalize_embeddings: Bring vectors to unit length; models that do so by themselves
                always do.
            truncate_dim: Length to cut vectors to; None for the model's own truncate_dim.
            pool: Not supported: threads take its place.
            chunk_size: Not supported: it belongs to pools.
            sentences: Another name of inputs.
            ranges: Smallest and largest values, shape (2, dimensions): quantise to int8 or uint8 by
                these, as sentence-transformers does.
            out: Array or memmap of shape (n, columns) to write vectors to; it is returned.
            errors: "strict", "replace" or "skip", over the model's own setting.
            truncation: "silent", "warn" or "error", over the model's own setting.
            threads: The most threads to use, over the model's own setting.
            poll: Called in this thread every 20 ms or so; an exception that it raises ends the
                encoding and comes out of encode.
            **options: Unknown names raise a ValueError.

        Returns:
            float32 (n, dimensions) in C order for a list, (dimensions,) for one string, or what
            the options ask for. An empty list gives shape (0, dimensions).

        Raises:
            TypeError: Rows are not strings; the first ten are named.
            ValueError: All such rows are missing values (None, NaN, pandas' NA), or an option has a
                value that makes no sense here.
        """
        refuse_at_encode({"pool": pool, "chunk_size": chunk_size, **options}, _OPTIONS)
        check_device(device)
        check_positive("batch_size", batch_size)
        if output_value not in _OUTPUT_VALUES:
            raise ValueError(f"output_value is {output_value!r}, expected one of {_OUTPUT_VALUES}.")
        if (inputs is _MISSING) == (sentences is _MISSING):
            raise TypeError("encode takes inputs (also called sentences), once.")
        given = inputs if sentences is _MISSING else sentences
        texts = read_texts(given, check_errors_option(errors or self.errors))
        rows = texts.rows
        form = self._form(truncate_dim, normalize_embeddings, precision or "float32")
        finish = tensor_maker() if convert_to_tensor else lambda array: array
        settings: dict[str, Any] = {
            "prefix": self._prompt_text(prompt_name, prompt),
            "limit": self._max_seq_length,
            "truncation": check_truncation(truncation or self.truncation),
            "threads": self._threads if threads is None else check_threads(threads),
            "poll": poll,
        }
        with progress_bar(show_progress_bar, len(rows)) as advance:
            if output_value == "sentence_embedding":
                vectors = self._vectors(rows, form, ranges, out, {**settings, "advance": advance})
                rows_out = (
                    finish(vectors) if convert_to_numpy or convert_to_tensor else list(vectors)
                )
                return rows_out[0] if texts.single else rows_out
            if out is not None or ranges is not None or form.precision != "float32":
                raise ValueError("out, ranges and precision apply to sentence embeddings only.")
            results = []
            skip = self._engine.unpooled_tokens(settings["prefix"], self._max_seq_length)
            for ids, tokens in self._engine.token_embeddings(rows, **settings):
                if output_value:
                    results.append(finish(tokens))
                else:
                    everything = self._everything(ids, tokens, form, skip)
                    results.append({name: finish(array) for name, array in everything.items()})
                advance(1)
        return results[0] if texts.single else results

    def encode_query(
        self,
        inputs: Any = _MISSING,
        prompt_name: str | None = None,
        prompt: str | None = None,
        *args: Any,
        **options: Any,
    ) -> Any:
        """Encode search queries: `encode` with the prompt called "query", if the model has one.

        Without one, and unless told otherwise, no prompt is used, not even the default one.
        """
        if prompt is None and prompt_name is None:
            prompt = self._first_prompt("query")
        return self.encode(inputs, prompt_name, prompt, *args, **options)

    def encode_document(
        self,
        inputs: Any = _MISSING,
        prompt_name: str | None = None,
        prompt: str | None = None,
        *args: Any,
        **options: Any,
    ) -> Any:
        """Encode texts to be found: `encode` with the document's prompt, if the model has one.

        That is the first of "document", "passage" and "corpus". Without one, and unless told
        otherwise, no prompt is used, not even the default one.
        """
        if prompt is None and prompt_name is None:
            prompt = self._first_prompt("document", "passage", "corpus")
        return self.encode(inputs, prompt_name, prompt, *args, **options)

    def encode_iter(
        self, inputs: Iterable[str], batch_size: int = 1024, **options: Any
    ) -> Iterator[Array]:
        """Encode any number of texts in bounded memory.

        Args:
            inputs: An iterable of strings, such as an open file's lines.
            batch_size: Texts of a block.
            **options: As for `encode`, without out.

        Returns:
            An iterator over the vectors of each block of texts, in order, as `encode` returns them.

        Raises:
            TypeError: Rows are not strings; the blocks before have been given by then.
            ValueError: All such rows are missing values.
        """
        if isinstance(inputs, str):
            raise TypeError("inputs is a str, expected an iterable of strings.")
        if "out" in options:
            raise ValueError("encode_iter gives one array a block; out cannot hold them all.")
        return self._encode_blocks(iter(inputs), check_positive("batch_size", batch_size), options)

    def _encode_blocks(
        self, rows: Iterator[str], size: int, options: dict[str, Any]
    ) -> Iterator[Array]:
        first_row = 0
        while block := list(islice(rows, size)):
            errors = check_errors_option(options.get("errors") or self.errors)
            yield self.encode(read_texts(block, errors, first_row).rows, **options)
            first_row += len(block)

    def count_tokens(self, inputs: Any, prompt_name: str | None = None) -> TokenUse:
        """Tell how many tokens of each text are used, and whether it is truncated.

        Only as much of a huge text is read as `encode` reads.
        """
        rows = read_texts(inputs, self.errors).rows
        prefix = self._prompt_text(prompt_name, None)
        batch = self._engine.tokenizer.ragged(
            rows, self._max_seq_length, self._threads, prefix=prefix
        )
        return TokenUse(batch.counts, batch.truncated)

    def tokenize(self, inputs: Any) -> dict[str, NDArray[np.int64]]:
        """Tokenize texts, padded to the longest, as transformers' models take them.

        Returns:
            "input_ids", "token_type_ids" and "attention_mask", each int64 (n, longest).
        """
        rows = read_texts(inputs, self.errors).rows
        batch = self._engine.tokenizer.ragged(rows, self._max_seq_length, self._threads)
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

    def _first_prompt(self, *names: str) -> str:
        return next((self.prompts[name] for name in names if name in self.prompts), "")

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

    def _form(self, truncate_dim: int | None, normalize: bool, precision: str) -> VectorForm:
        hidden = self._engine.checkpoint.config.hidden
        dimensions = truncate_dim if truncate_dim is not None else self.truncate_dim
        if dimensions is None:
            dimensions = hidden
        dimensions = min(check_positive("truncate_dim", dimensions), hidden)
        by_model = self._engine.checkpoint.normalize
        # A Normalize module acts before truncation, and normalising again undoes what it did.
        whole = by_model and dimensions < hidden and not normalize
        precision = check_precision(precision)
        return VectorForm(dimensions, (normalize or by_model) and not whole, precision, whole)

    def _vectors(
        self,
        rows: Sequence[str],
        form: VectorForm,
        ranges: Any,
        out: Array | None,
        settings: dict[str, Any],
    ) -> Any:
        target = rows_for(out, len(rows), form)
        if ranges is None:
            self._engine.vectors(rows, form, target, **settings)
            return target
        limits = check_ranges(ranges, form)
        floats = form._replace(precision="float32")
        vectors = rows_for(None, len(rows), floats)
        self._engine.vectors(rows, floats, vectors, **settings)
        quantize_by_ranges(vectors, limits, target)
        return target

    def _everything(
        self, ids: NDArray[np.int32], tokens: NDArray[np.float32], form: VectorForm, skip: int
    ) -> dict[str, Array]:
        return {
            "input_ids": ids.astype(np.int64),
            "attention_mask": np.ones(len(ids), np.int64),
            "token_embeddings": tokens,
            "sentence_embedding": self._engine.pool_ids(ids, form, skip),
        }
