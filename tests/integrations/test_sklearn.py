"""The scikit-learn transformer, against scikit-learn and pandas."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import SentenceTransformer

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
pytest.importorskip("pandas", reason="pandas is not installed")

import pandas
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils.validation import check_is_fitted

from bge_micro.integrations.sklearn import BgeMicroTransformer

SEA = ["the ship left the harbour", "sailors fear the storm", "an anchor in the bay", "high tide"]
KITCHEN = ["bread from the oven", "chop the onions", "a pinch of salt", "soup for dinner"]


@pytest.mark.parametrize("container", [list, tuple, np.array, pandas.Series])
def test_texts_in_any_sequence(
    container: Any, texts: list[str], vectors: NDArray[np.float32]
) -> None:
    transformer = BgeMicroTransformer()
    for found in (transformer.transform(container(texts)), transformer.fit_transform(texts)):
        assert found.dtype == np.float32
        assert found.tobytes() == vectors.tobytes()


def test_a_series_with_an_index_of_its_own(texts: list[str], vectors: NDArray[np.float32]) -> None:
    series = pandas.Series(texts, index=[7, 3, 3, 9, 1, 0], name="text")
    frame = BgeMicroTransformer().set_output(transform="pandas").transform(series)
    assert list(frame.index) == [7, 3, 3, 9, 1, 0]
    assert frame.columns[0] == "bgemicrotransformer0"
    assert frame.to_numpy().tobytes() == vectors.tobytes()


def test_clone_and_parameters(texts: list[str], vectors: NDArray[np.float32]) -> None:
    transformer = BgeMicroTransformer(compute_type="float32", truncate_dim=64)
    transformer.transform(texts)
    twin = clone(transformer)
    assert twin.get_params() == transformer.get_params()
    assert vars(twin).keys() == set(twin.get_params())
    twin.set_params(compute_type="int8", truncate_dim=None)
    assert twin.transform(texts).tobytes() == vectors.tobytes()
    model = SentenceTransformer(compute_type="float32", truncate_dim=64)
    expected = model.encode(texts, normalize_embeddings=True).tobytes()
    assert transformer.transform(texts).tobytes() == expected
    assert pickle.loads(pickle.dumps(transformer)).transform(texts).tobytes() == expected


def test_a_pickle_finds_a_relative_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str]
) -> None:
    SentenceTransformer().save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    transformer = BgeMicroTransformer("model")
    expected = transformer.transform(texts).tobytes()
    pickled = pickle.dumps(transformer)
    monkeypatch.chdir("/")
    assert pickle.loads(pickled).transform(texts).tobytes() == expected


def test_one_string_is_no_column() -> None:
    with pytest.raises(TypeError, match="found one string"):
        BgeMicroTransformer().transform("one text")


def test_feature_names() -> None:
    names = BgeMicroTransformer(truncate_dim=5).get_feature_names_out()
    assert list(names) == [f"bgemicrotransformer{column}" for column in range(5)]


def test_a_pipeline_learns_and_is_searched() -> None:
    pipeline = make_pipeline(BgeMicroTransformer(), LogisticRegression(C=10.0))
    search = GridSearchCV(
        pipeline,
        {"bgemicrotransformer__truncate_dim": [64, None], "logisticregression__C": [1.0, 10.0]},
        cv=2,
    )
    search.fit(SEA + KITCHEN, [0] * 4 + [1] * 4)
    assert list(search.predict(["a boat on the waves", "fry the eggs"])) == [0, 1]
    assert "BgeMicroTransformer" in estimator_html_repr(search)


def test_a_column_of_a_table(texts: list[str], vectors: NDArray[np.float32]) -> None:
    table = pandas.DataFrame({"text": texts, "length": [len(text) for text in texts]})
    columns = make_column_transformer((BgeMicroTransformer(), "text"), ("passthrough", ["length"]))
    found = columns.fit_transform(table)
    assert found[:, :384].astype(np.float32).tobytes() == vectors.tobytes()
    assert list(found[:, 384]) == list(table["length"])
    names = columns.get_feature_names_out()
    assert names[0] == "bgemicrotransformer__bgemicrotransformer0"
    with pytest.raises(ValueError, match="2 dimensions"):
        BgeMicroTransformer().transform(table[["text"]])


def test_it_says_what_it_is() -> None:
    transformer = BgeMicroTransformer()
    check_is_fitted(transformer)
    tags = get_tags(transformer)
    assert tags.input_tags.string
    assert not tags.requires_fit
