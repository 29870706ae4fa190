"""The encode methods: options and texts in, results in the form that was asked for out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from bge_micro.choices import (
    OUTPUT_VALUES,
    Errors,
    OutputValue,
    Precision,
    Truncation,
    check_choice,
)
from bge_micro.inputs import read_texts
from bge_micro.options import check_device, check_positive, refuse_at_encode, refuse_unknown
from bge_micro.outputs import tensor_maker
from bge_micro.pipeline import Poll
from bge_micro.planning import PlanMixin
from bge_micro.progress import progress_bar
from bge_micro.results import encode_tokens, encode_vectors
from bge_micro.signatures import like_encode, like_encode_iter

if TYPE_CHECKING:
    from bge_micro.option_types import Array, Device, Texts

_MISSING: Any = object()


class EncodeMixin(PlanMixin):
    """What a loaded model does with texts."""

    errors: Errors

    @like_encode
    def encode(
        self,
        inputs: str | Texts = _MISSING,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: OutputValue | None = "sentence_embedding",
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Device = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: None = None,
        chunk_size: None = None,
        *,
        sentences: str | Texts = _MISSING,
        ranges: ArrayLike | None = None,
        out: Array | None = None,
        errors: Errors | None = None,
        truncation: Truncation | None = None,
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
        if options or pool is not None or chunk_size is not None:
            refuse_unknown("encode", EncodeMixin.encode, options)
            refuse_at_encode({"pool": pool, "chunk_size": chunk_size})
        check_device(device)
        check_positive("batch_size", batch_size)
        check_choice("output_value", output_value, OUTPUT_VALUES)
        if (inputs is _MISSING) == (sentences is _MISSING):
            raise TypeError("encode takes inputs (also called sentences), once.")
        given = inputs if sentences is _MISSING else sentences
        texts = read_texts(given, errors or self.errors)
        plan = self.plan(
            prompt_name=prompt_name,
            prompt=prompt,
            normalize_embeddings=normalize_embeddings,
            truncate_dim=truncate_dim,
            precision=precision or "float32",
            truncation=truncation,
            threads=threads,
        )
        finish = tensor_maker() if convert_to_tensor else None
        with progress_bar(show_progress_bar, len(texts.rows)) as advance:
            results: Any
            if output_value == "sentence_embedding":
                vectors = encode_vectors(
                    self._pipeline, texts.rows, plan, ranges, out, poll, advance
                )
                results = finish(vectors) if finish else vectors
                if not (finish or convert_to_numpy):
                    results = list(vectors)
            else:
                if out is not None or ranges is not None or plan.precision != "float32":
                    raise ValueError("out, ranges and precision apply to sentence embeddings only.")
                everything = output_value is None
                results = encode_tokens(
                    self._pipeline, texts.rows, plan, everything, finish, poll, advance
                )
        return results[0] if texts.single else results

    @like_encode
    def encode_query(
        self,
        inputs: str | Texts = _MISSING,
        prompt_name: str | None = None,
        prompt: str | None = None,
        *args: Any,
        **options: Any,
    ) -> Any:
        """Encode search queries: `encode` with the prompt called "query", if the model has one.

        Without one, and unless told otherwise, no prompt is used, not even the default one. The
        keywords are those of `encode`.
        """
        if prompt is None and prompt_name is None:
            prompt = self.query_prompt
        return self.encode(inputs, prompt_name, prompt, *args, **options)

    @like_encode
    def encode_document(
        self,
        inputs: str | Texts = _MISSING,
        prompt_name: str | None = None,
        prompt: str | None = None,
        *args: Any,
        **options: Any,
    ) -> Any:
        """Encode texts to be found: `encode` with the document's prompt, if the model has one.

        That is the first of "document", "passage" and "corpus". Without one, and unless told
        otherwise, no prompt is used, not even the default one. The keywords are those of `encode`.
        """
        if prompt is None and prompt_name is None:
            prompt = self.document_prompt
        return self.encode(inputs, prompt_name, prompt, *args, **options)

    @like_encode_iter
    def encode_iter(
        self, inputs: Iterable[str], batch_size: int = 1024, **options: Any
    ) -> Iterator[Any]:
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
        refuse_unknown("encode_iter", EncodeMixin.encode, options)
        if "out" in options:
            raise ValueError("encode_iter gives one array a block; out cannot hold them all.")
        return self._encode_blocks(iter(inputs), check_positive("batch_size", batch_size), options)

    def _encode_blocks(
        self, rows: Iterator[str], size: int, options: dict[str, Any]
    ) -> Iterator[Array]:
        errors = options.get("errors") or self.errors
        first_row = 0
        while block := list(islice(rows, size)):
            yield self.encode(read_texts(block, errors, first_row).rows, **options)
            first_row += len(block)

    @property
    def query_prompt(self) -> str:
        """The prompt that `encode_query` puts before queries, unless told otherwise."""
        return self._first_prompt("query")

    @property
    def document_prompt(self) -> str:
        """The prompt that `encode_document` puts before texts, unless told otherwise."""
        return self._first_prompt("document", "passage", "corpus")

    def _first_prompt(self, *names: str) -> str:
        return next((self.prompts[name] for name in names if name in self.prompts), "")
