"""The overloads of `CrossEncoder.predict`, in the way of `signatures`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, Literal, Protocol, overload

    import torch  # type: ignore[import-not-found, unused-ignore]
    from typing_extensions import Unpack

    from bge_micro.option_types import Floats, PairText, PairTexts, PredictOptions
    from bge_micro.signatures import typed_as

    class _Predict(Protocol):
        """Calls of `predict` and what each returns."""

        @overload
        def predict(
            self: Any, inputs: PairText, *,
            convert_to_numpy: bool = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[PredictOptions],
        ) -> Any: ...  # fmt: skip
        @overload
        def predict(
            self: Any, inputs: PairTexts, *,
            convert_to_numpy: Literal[True] = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[PredictOptions],
        ) -> Floats: ...  # fmt: skip
        @overload
        def predict(
            self: Any, inputs: PairTexts, *,
            convert_to_numpy: Literal[False], convert_to_tensor: Literal[False] = False,
            **options: Unpack[PredictOptions],
        ) -> list[Any]: ...  # fmt: skip
        @overload
        def predict(
            self: Any, inputs: PairTexts, *,
            convert_to_numpy: bool = True, convert_to_tensor: Literal[True],
            **options: Unpack[PredictOptions],
        ) -> torch.Tensor: ...  # fmt: skip
        @overload
        def predict(
            self: Any, *, sentences: PairTexts,
            convert_to_numpy: Literal[True] = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[PredictOptions],
        ) -> Floats: ...  # fmt: skip

    class _AsyncPredict(Protocol):
        """Calls of `apredict` and what each returns."""

        @overload
        async def predict(
            self: Any, inputs: PairText, *,
            convert_to_numpy: bool = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[PredictOptions],
        ) -> Any: ...  # fmt: skip
        @overload
        async def predict(
            self: Any, inputs: PairTexts, *,
            convert_to_numpy: Literal[True] = True, convert_to_tensor: Literal[False] = False,
            **options: Unpack[PredictOptions],
        ) -> Floats: ...  # fmt: skip
        @overload
        async def predict(
            self: Any, inputs: PairTexts, *,
            convert_to_numpy: bool = True, convert_to_tensor: Literal[True],
            **options: Unpack[PredictOptions],
        ) -> torch.Tensor: ...  # fmt: skip

    like_predict = typed_as(_Predict.predict)
    like_apredict = typed_as(_AsyncPredict.predict)
else:
    from bge_micro.signatures import like_encode as like_predict

    like_apredict = like_predict
