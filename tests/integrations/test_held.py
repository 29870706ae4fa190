"""The model that every integration holds: made late, shared, known by its settings."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from api.child import run_child
from bge_micro import SentenceTransformer
from bge_micro.checkpoint import BUNDLED_NAME
from bge_micro.integrations import held as held_module
from bge_micro.integrations.frameworks import needed
from bge_micro.integrations.held import COSINE_PRECISIONS, HeldModel, HoldsModel, hold
from integrations.event_loop import run_beside_a_blocked_model


def test_it_gives_what_encode_gives(texts: list[str], vectors: NDArray[np.float32]) -> None:
    held = HeldModel()
    assert held.documents(texts).tobytes() == vectors.tobytes()
    assert held.queries(texts).tobytes() == vectors.tobytes()
    assert held.query(texts[0]).tobytes() == vectors[0].tobytes()
    assert held.dimensions == 384


def test_settings_reach_the_model(texts: list[str]) -> None:
    held = HeldModel(
        normalize_embeddings=False,
        truncate_dim=64,
        precision="int8",
        compute_type="float32",
        threads=1,
        truncation="error",
    )
    model = SentenceTransformer(compute_type="float32", truncate_dim=64)
    expected = model.encode(texts[:5], precision="int8")
    assert held.documents(texts[:5]).tobytes() == expected.tobytes()
    assert held.model.threads == 1
    with pytest.raises(ValueError, match="more than 512 tokens"):
        held.documents(["word " * 600])


def test_prompts_of_the_model_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldModel(threads=2)
    monkeypatch.setitem(held.model.prompts, "query", "question: ")
    monkeypatch.setitem(held.model.prompts, "document", "answer: ")
    plain = HeldModel(threads=1)
    assert held.query("why").tobytes() == plain.query("question: why").tobytes()
    assert held.documents(["so"]).tobytes() == plain.documents(["answer: so"]).tobytes()


def test_equal_settings_share_one_model_while_somebody_holds_it() -> None:
    first, other = HeldModel(threads=3), HeldModel(threads=4)
    second = HeldModel(threads=3, precision="int8", normalize_embeddings=False)
    with ThreadPoolExecutor(4) as executor:
        models = list(executor.map(lambda held: held.model, [first, second, first, other]))
    assert models[0] is models[1] is models[2] is not models[3]
    held_module._loaded[("witness",)] = models[0]
    del first, second, models
    gc.collect()
    assert ("witness",) not in held_module._loaded


def test_it_pickles_and_compares_by_settings(texts: list[str]) -> None:
    held = HeldModel(compute_type="float32")
    expected = held.documents(texts)
    twin = pickle.loads(pickle.dumps(held))
    assert twin == held
    assert hash(twin) == hash(held)
    assert "model" not in vars(twin)
    assert len(pickle.dumps(held)) < 1000
    assert twin.documents(texts).tobytes() == expected.tobytes()
    assert twin != HeldModel()


def test_settings_are_json_and_make_an_equal_one(tmp_path: Path) -> None:
    held = HeldModel(tmp_path, cache_folder=tmp_path, threads=2)  # type: ignore[arg-type]
    settings = json.loads(json.dumps(held.settings()))
    assert settings == {
        "model_name_or_path": str(tmp_path),
        "cache_folder": str(tmp_path),
        "threads": 2,
    }
    assert HeldModel(**settings) == held
    assert HeldModel().settings() == {}
    assert HeldModel().model_name_or_path == BUNDLED_NAME


@pytest.mark.parametrize("method", ["documents", "queries", "adocuments"])
def test_one_string_is_no_list(method: str) -> None:
    def call(text: Any) -> Any:
        found = getattr(HeldModel(), method)(text)
        return asyncio.run(found) if method.startswith("a") else found

    with pytest.raises(TypeError, match=r"a list of texts, found one string; pass \[text\]"):
        call("one text")
    assert call(["one text"]).shape == (1, 384)


@pytest.mark.parametrize("method", ["query", "aquery"])
@pytest.mark.parametrize("text", [["one text"], None, b"text"])
def test_a_list_is_no_query(method: str, text: Any) -> None:
    async def call() -> Any:
        found = getattr(HeldModel(), method)(text)
        return await found if method == "aquery" else found

    with pytest.raises(TypeError, match="expected one text, a string, found a"):
        asyncio.run(call())


def test_a_path_is_a_folder_and_absolute_in_pickles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SentenceTransformer().save_pretrained(tmp_path / "here" / BUNDLED_NAME)
    monkeypatch.chdir(tmp_path / "here")
    expected = SentenceTransformer(tmp_path / "here" / BUNDLED_NAME).space_id
    for name in (Path(BUNDLED_NAME), BUNDLED_NAME, f"./{BUNDLED_NAME}"):
        held = hold(name, cache_folder="cache")
        assert held.model.space_id == expected
        pickled = pickle.dumps(held)
        monkeypatch.chdir(tmp_path)
        twin = pickle.loads(pickled)
        assert twin.cache_folder == str(tmp_path / "here" / "cache")
        assert twin.model.space_id == expected
        assert hold(BUNDLED_NAME).model.space_id != expected
        monkeypatch.chdir(tmp_path / "here")


def test_precisions_that_a_framework_cannot_compare() -> None:
    class Cosines(HoldsModel):
        precisions = COSINE_PRECISIONS

    assert HoldsModel(precision="ubinary")
    assert Cosines(precision="int8")
    for precision in ("uint8", "binary", "ubinary"):
        with pytest.raises(ValueError, match="which needs float32 or int8"):
            Cosines(precision=precision)


def test_unknown_settings_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match="chunk_size"):
        HeldModel(chunk_size=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("method", ["adocuments", "aquery"])
def test_async_methods_leave_the_event_loop_free(
    monkeypatch: pytest.MonkeyPatch, texts: list[str], vectors: NDArray[np.float32], method: str
) -> None:
    held = HeldModel()
    given = texts if method == "adocuments" else texts[0]
    expected = vectors if method == "adocuments" else vectors[0]
    got = run_beside_a_blocked_model(monkeypatch, lambda: getattr(held, method)(given))
    assert got.tobytes() == expected.tobytes()


def test_a_missing_framework_says_what_to_install() -> None:
    with (
        pytest.raises(ImportError, match=r"needs no-such-package: pip install 'bge-micro\[some\]'"),
        needed("no-such-package", extra="some"),
    ):
        import no_such_package  # noqa: F401


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    loaded = run_child(
        """
        import json, sys
        from bge_micro.integrations.held import HeldModel
        HeldModel(compute_type="float32").settings()
        print(json.dumps(sorted(sys.modules)))
        """
    )
    assert not {"numpy", "tokenizers", "safetensors"} & set(loaded)
