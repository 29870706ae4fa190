"""The keywords that type checkers know are those that there are at run time."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from bge_micro import SentenceTransformer, option_types, options
from bge_micro.integrations.held import HeldModel, HoldsModel, hold
from bge_micro.search import Index

# Named in the overloads, because they decide what is returned.
IN_OVERLOADS = {
    "inputs", "prompt_name", "prompt", "output_value", "precision", "convert_to_numpy",
    "convert_to_tensor", "sentences",
}  # fmt: skip


def names(of: Any) -> set[str]:
    return set(of.__annotations__)


def parameters(of: Any) -> set[str]:
    return set(inspect.signature(of).parameters) - {"self", "options"}


def test_keywords_of_encode() -> None:
    encode = parameters(SentenceTransformer.encode)
    assert names(option_types.EncodeOptions) == encode - IN_OVERLOADS
    decided = {"errors", "normalize_embeddings", "truncate_dim", "ranges", "out"}
    prompts = {"prompt_name", "prompt"}
    assert names(option_types.PromptOptions) == encode - IN_OVERLOADS - decided | prompts
    blocks = encode - IN_OVERLOADS - {"out", "batch_size", "pool", "chunk_size"}
    assert names(option_types.BlockOptions) == blocks | prompts | {"precision"}


def test_keywords_of_the_constructor_that_are_refused() -> None:
    assert names(option_types.RefusedAtLoad) == set(options._REFUSED_AT_LOAD)


def test_settings_of_integrations() -> None:
    settings = {field.name for field in fields(HeldModel)} - {"model_name_or_path"}
    assert names(option_types.HeldSettings) == settings


def test_what_encode_gives_for_everything() -> None:
    everything = SentenceTransformer().encode("a", output_value=None)
    assert set(everything) == names(option_types.Everything)
    hints = get_type_hints(option_types.Everything)
    for name, array in everything.items():
        assert str(array.dtype) in str(hints[name])


def test_unknown_keywords_name_the_closest() -> None:
    model = SentenceTransformer()
    calls: list[tuple[Any, str, str]] = [
        (lambda: model.encode("a", normalise=True), "encode", "normalize_embeddings"),
        (lambda: model.encode("a", precison="int8"), "encode", "precision"),
        (lambda: model.encode_query("a", thread=1), "encode", "threads"),
        (lambda: model.encode_document("a", promt_name="b"), "encode", "prompt_name"),
        (lambda: model.encode_iter(["a"], truncat_dim=3), "encode_iter", "truncate_dim"),
        (lambda: SentenceTransformer(compute_typ="int8"), "SentenceTransformer", "compute_type"),
        (lambda: SentenceTransformer(model_kwarg={}), "SentenceTransformer", "model_kwargs"),
        (lambda: Index(model).add(["a"], poll_=None), "encode", "poll"),
        (lambda: hold(compute_typ="int8"), "HeldModel", "compute_type"),
        (lambda: HoldsModel(normalise=True), "HeldModel", "normalize_embeddings"),
    ]
    for call, name, meant in calls:
        with pytest.raises(ValueError, match=f"^{name} got .* did you mean '{meant}'") as caught:
            call()
        assert isinstance(caught.value, TypeError)  # as Python has it
    with pytest.raises(ValueError, match="'xyzzy'; known ones are inputs, prompt_name, "):
        model.encode("a", xyzzy=1)
