"""The overloads of the encode methods: which call returns what, for type checkers.

A method takes its overloads by a decorator, so that its own signature, which people read, is
written once and with its defaults. At run time the overloads do not exist: defining them would be a
part of the package's start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Literal, Protocol, TypeVar, overload

    import torch  # type: ignore[import-not-found, unused-ignore]
    from numpy.typing import ArrayLike
    from typing_extensions import Unpack

    from bge_micro.choices import OutputValue, Precision
    from bge_micro.option_types import (
        Array,
        BlockOptions,
        EncodeOptions,
        Everything,
        Floats,
        Signed,
        SignedPrecision,
        Tensors,
        Texts,
        Unsigned,
        UnsignedPrecision,
    )

    _Method = TypeVar("_Method")

    class _Encode(Protocol):
        """Calls of `encode` and what each returns."""

        @overload
        def encode(
            self: Any, inputs: str | Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: Literal["float32"] = "float32",
            convert_to_numpy: Literal[True] = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Floats: ...  # fmt: skip
        @overload
        def encode(
            self: Any, inputs: str | Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: SignedPrecision,
            convert_to_numpy: Literal[True] = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Signed: ...  # fmt: skip
        @overload
        def encode(
            self: Any, inputs: str | Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: UnsignedPrecision,
            convert_to_numpy: Literal[True] = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Unsigned: ...  # fmt: skip
        @overload
        def encode(
            self: Any, inputs: str | Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: Precision,
            convert_to_numpy: Literal[True] = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Array: ...  # fmt: skip
        @overload
        def encode(
            self: Any, inputs: str | Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: Precision = "float32",
            convert_to_numpy: bool = True, convert_to_tensor: Literal[True],
            **options: Unpack[EncodeOptions],
        ) -> torch.Tensor: ...  # fmt: skip
        @overload
        def encode(
            self: Any, inputs: str, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: Precision = "float32",
            convert_to_numpy: Literal[False], convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Array: ...  # fmt: skip
        @overload
        def encode(
            self: Any, inputs: Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: Precision = "float32",
            convert_to_numpy: Literal[False], convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> list[Array]: ...  # fmt: skip
        @overload
        def encode(
            self: Any, inputs: str, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["token_embeddings"],
            convert_to_numpy: bool = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Floats: ...  # fmt: skip
        @overload
        def encode(
            self: Any, inputs: Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["token_embeddings"],
            convert_to_numpy: bool = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> list[Floats]: ...  # fmt: skip
        @overload
        def encode(
            self: Any, inputs: str, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: None,
            convert_to_numpy: bool = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Everything: ...  # fmt: skip
        @overload
        def encode(
            self: Any, inputs: Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: None,
            convert_to_numpy: bool = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> list[Everything]: ...  # fmt: skip
        @overload
        def encode(
            self: Any, inputs: str | Texts = ..., prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: OutputValue | None = "sentence_embedding",
            precision: Precision = "float32", convert_to_numpy: bool = True,
            convert_to_tensor: bool = False, sentences: str | Texts = ...,
            **options: Unpack[EncodeOptions],
        ) -> Any: ...  # fmt: skip

    class _AsyncEncode(Protocol):
        """Calls of `aencode` and what each returns."""

        @overload
        async def encode(
            self: Any, inputs: str | Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: Literal["float32"] = "float32",
            convert_to_numpy: Literal[True] = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Floats: ...  # fmt: skip
        @overload
        async def encode(
            self: Any, inputs: str | Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: SignedPrecision,
            convert_to_numpy: Literal[True] = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Signed: ...  # fmt: skip
        @overload
        async def encode(
            self: Any, inputs: str | Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: UnsignedPrecision,
            convert_to_numpy: Literal[True] = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Unsigned: ...  # fmt: skip
        @overload
        async def encode(
            self: Any, inputs: str | Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: Precision,
            convert_to_numpy: Literal[True] = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Array: ...  # fmt: skip
        @overload
        async def encode(
            self: Any, inputs: str | Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: Precision = "float32",
            convert_to_numpy: bool = True, convert_to_tensor: Literal[True],
            **options: Unpack[EncodeOptions],
        ) -> torch.Tensor: ...  # fmt: skip
        @overload
        async def encode(
            self: Any, inputs: str, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: Precision = "float32",
            convert_to_numpy: Literal[False], convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Array: ...  # fmt: skip
        @overload
        async def encode(
            self: Any, inputs: Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["sentence_embedding"] = "sentence_embedding",
            precision: Precision = "float32",
            convert_to_numpy: Literal[False], convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> list[Array]: ...  # fmt: skip
        @overload
        async def encode(
            self: Any, inputs: str, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["token_embeddings"],
            convert_to_numpy: bool = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Floats: ...  # fmt: skip
        @overload
        async def encode(
            self: Any, inputs: Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: Literal["token_embeddings"],
            convert_to_numpy: bool = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> list[Floats]: ...  # fmt: skip
        @overload
        async def encode(
            self: Any, inputs: str, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: None,
            convert_to_numpy: bool = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> Everything: ...  # fmt: skip
        @overload
        async def encode(
            self: Any, inputs: Texts, prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: None,
            convert_to_numpy: bool = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[EncodeOptions],
        ) -> list[Everything]: ...  # fmt: skip
        @overload
        async def encode(
            self: Any, inputs: str | Texts = ..., prompt_name: str | None = None,
            prompt: str | None = None, *,
            output_value: OutputValue | None = "sentence_embedding",
            precision: Precision = "float32", convert_to_numpy: bool = True,
            convert_to_tensor: bool = False, sentences: str | Texts = ...,
            **options: Unpack[EncodeOptions],
        ) -> Any: ...  # fmt: skip

    class _EncodeIter(Protocol):
        """Calls of `encode_iter` and what each returns."""

        @overload
        def encode_iter(
            self: Any, inputs: Iterable[str], batch_size: int = 1024,
            **options: Unpack[BlockOptions],
        ) -> Iterator[Array]: ...  # fmt: skip
        @overload
        def encode_iter(
            self: Any, inputs: Iterable[str], batch_size: int = 1024, *,
            output_value: OutputValue | None = "sentence_embedding",
            convert_to_numpy: bool = True, convert_to_tensor: bool = False,
            **options: Unpack[BlockOptions],
        ) -> Iterator[Any]: ...  # fmt: skip

    class _Similarity(Protocol):
        """Calls of `similarity` and `similarity_pairwise` and what each returns."""

        @overload
        def similarity(
            self: Any, embeddings1: Tensors, embeddings2: Tensors | ArrayLike
        ) -> torch.Tensor: ...  # fmt: skip
        @overload
        def similarity(
            self: Any, embeddings1: ArrayLike, embeddings2: Tensors
        ) -> torch.Tensor: ...  # fmt: skip
        @overload
        def similarity(
            self: Any, embeddings1: ArrayLike, embeddings2: ArrayLike
        ) -> Floats: ...  # fmt: skip

    def typed_as(method: _Method) -> Callable[[Callable[..., Any]], _Method]:
        """Give a method the signature of another one."""

    like_encode = typed_as(_Encode.encode)
    like_aencode = typed_as(_AsyncEncode.encode)
    like_encode_iter = typed_as(_EncodeIter.encode_iter)
    like_similarity = typed_as(_Similarity.similarity)
else:

    def like_encode(method):
        """Leave a method as it is; for type checkers it has the calls of `_Encode`."""
        return method

    like_aencode = like_encode_iter = like_similarity = like_encode
