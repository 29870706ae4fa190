"""scikit-learn: ``make_pipeline(BgeMicroTransformer(), LogisticRegression())``."""

from __future__ import annotations

from typing import Any

from bge_micro.choices import ComputeType
from bge_micro.integrations.frameworks import needed
from bge_micro.integrations.held import HeldModel

with needed("scikit-learn", extra="sklearn"):
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils import Tags


class BgeMicroTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turns texts into vectors: a list, array or series of n strings to float32 (n, dimensions).

    It learns nothing, so it may transform before it is fitted. The model is loaded at the first
    `transform`.
    """

    def __init__(
        self,
        model_name_or_path: str = "bge-micro-v2",
        *,
        normalize_embeddings: bool = True,
        truncate_dim: int | None = None,
        compute_type: ComputeType = "int8",
        threads: int | None = None,
    ) -> None:
        """Set the parameters: settings of `HeldModel`, under the names of get_params."""
        self.model_name_or_path = model_name_or_path
        self.normalize_embeddings = normalize_embeddings
        self.truncate_dim = truncate_dim
        self.compute_type = compute_type
        self.threads = threads

    def fit(self, X: Any, y: Any = None) -> BgeMicroTransformer:
        """Return the transformer: there is nothing to learn."""
        return self

    def transform(self, X: Any) -> Any:
        """Embed texts.

        Args:
            X: A list, tuple, array, series or other sequence of n strings. A table is refused: name
                one of its columns, in a ColumnTransformer by a string instead of a list. One string
                is refused too.

        Returns:
            float32 (n, dimensions), or the container that set_output asks for.
        """
        return self._held().documents(X)

    def _held(self) -> HeldModel:
        """Return the model of the current parameters, which set_params may change at any time."""
        held = HeldModel(**self.get_params(deep=False))
        if self.__dict__.get("_last_held") != held:
            self._last_held = held
        return self._last_held

    def __getstate__(self) -> dict[str, Any]:
        """Make a relative path absolute: the pickle may be read in another folder."""
        from bge_micro.checkpoint import absolute_name

        state: dict[str, Any] = super().__getstate__()
        return {**state, "model_name_or_path": absolute_name(self.model_name_or_path)}

    @property
    def _n_features_out(self) -> int:
        """Number of columns, for get_feature_names_out."""
        return self._held().dimensions

    def __sklearn_is_fitted__(self) -> bool:
        """Report that it needs no fit."""
        return True

    def __sklearn_tags__(self) -> Tags:
        """Report that it takes strings, in one dimension, and needs no fit."""
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags
