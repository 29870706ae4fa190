"""Models with extreme activations: the bits must be the same on every instruction set."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from core.isas import assert_same_bits
from core.models import Sizes, Tensors, encode, encode_tokens, make_model, random_tensors
from core.models import random_texts as texts_of

SIZES = Sizes(layers=2, hidden=64, heads=2, intermediate=128)
LENGTHS = [1, 2, 16, 17, 49]


def change(tensors: Tensors, ending: str, how: Callable[[NDArray[np.float32]], object]) -> None:
    """Replace all float tensors whose name has this ending."""
    for name in tensors:
        if name.endswith(ending):
            tensors[name] = np.asarray(how(tensors[name])).astype(tensors[name].dtype)


def saturated_codes(tensors: Tensors) -> None:
    """Make every weight -127 or 127, every word -128 or 127, and the norms' rows of one sign."""
    for name, tensor in tensors.items():
        if tensor.dtype == np.int8:
            tensors[name] = np.where(tensor < 0, -127, 127).astype(np.int8)
    words = "embeddings.word_embeddings.weight"
    tensors[words] = np.where(tensors[words] < 0, -128, 127).astype(np.int8)
    change(tensors, "LayerNorm.weight", np.zeros_like)
    change(tensors, "LayerNorm.bias", np.sign)


def large_outliers(tensors: Tensors) -> None:
    """Make three channels far larger than the rest after every norm, and in the embeddings."""

    def towering(values: NDArray[np.float32]) -> NDArray[np.float32]:
        values = values * np.float32(1e-3)
        values[..., [5, 37, 63]] = [1e6, -3e5, 1e4]
        return values

    change(tensors, "LayerNorm.weight", towering)
    change(tensors, "position_embeddings.weight", towering)


def subnormal_scores(tensors: Tensors) -> None:
    for part in ("query", "key"):
        change(tensors, f"{part}.weight_scale", lambda scale: scale * np.float32(1e-20))
        change(tensors, f"{part}.bias", lambda bias: bias * np.float32(1e-20))


def subnormal_activations(tensors: Tensors) -> None:
    change(tensors, "LayerNorm.weight", lambda weight: weight * np.float32(1e-38))
    change(tensors, "LayerNorm.bias", lambda bias: bias * np.float32(1e-38))


def huge_scores(tensors: Tensors) -> None:
    for part in ("query", "key"):
        change(tensors, f"{part}.weight_scale", lambda scale: scale * np.float32(1e3))


def nothing_but_zeros(tensors: Tensors) -> None:
    for name in tensors:
        tensors[name] = np.zeros_like(tensors[name])


def identical_tokens(tensors: Tensors) -> None:
    """Make all tokens equal, so that all scores are equal."""
    change(tensors, "position_embeddings.weight", np.zeros_like)
    change(tensors, "word_embeddings.weight", np.zeros_like)


def extreme_factors(tensors: Tensors) -> None:
    extreme = np.exp(8 * np.random.default_rng(0).standard_normal(SIZES.hidden))
    for part in ("query", "key", "value"):
        change(tensors, f"{part}.input_factor", lambda factor: factor * extreme)
    change(tensors, "output.dense.input_factor", lambda f: f * 1e4)


HARD = {
    make.__name__.replace("_", " "): make
    for make in (
        saturated_codes,
        large_outliers,
        subnormal_scores,
        subnormal_activations,
        huge_scores,
        nothing_but_zeros,
        identical_tokens,
        extreme_factors,
    )
}


@functools.cache
def tensors_of(name: str) -> Tensors:
    tensors = random_tensors(SIZES)
    HARD[name](tensors)
    return tensors


@functools.cache
def scalar_bits(name: str, compute_type: str) -> NDArray[np.float32]:
    model = make_model(SIZES, tensors_of(name), compute_type, "scalar")
    texts = texts_of(SIZES, LENGTHS)
    return np.concatenate([encode_tokens(model, SIZES, [text]) for text in texts])


@pytest.mark.parametrize("compute_type", ["float32", "int8"])
@pytest.mark.parametrize("name", HARD)
def test_same_bits(isa: str, name: str, compute_type: str) -> None:
    expected = scalar_bits(name, compute_type)
    assert np.isfinite(expected).all()
    model = make_model(SIZES, tensors_of(name), compute_type, isa)
    texts = texts_of(SIZES, LENGTHS)
    for threads in (1, 3):
        rows = encode_tokens(model, SIZES, texts, threads)
        assert_same_bits(rows, expected, f"{threads} threads")
    scalar = make_model(SIZES, tensors_of(name), compute_type, "scalar")
    for precision in ("float32", "int8"):
        vectors, wanted = (
            encode(each, SIZES, texts, precision=precision, normalize=True)
            for each in (model, scalar)
        )
        assert_same_bits(vectors, wanted, precision)
