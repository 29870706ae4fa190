"""Dense layers after the pooling, and activations: close to exact, the same bits everywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import _core
from core.isas import SUPPORTED, Floats, assert_same_bits
from core.models import Sizes, encode, random_tensors, random_texts
from reference import gelu

SMALL = Sizes(positions=200)
TEXTS = random_texts(SMALL, [1, 2, 17, 100, 5, 49, 3])
Layer = tuple[Floats, Floats | None, str]


def layer(out: int, width: int, activation: str, *, bias: bool = True) -> Layer:
    rng = np.random.default_rng(out)
    weight = (rng.standard_normal((out, width)) / np.sqrt(width)).astype(np.float32)
    return weight, rng.standard_normal(out).astype(np.float32) if bias else None, activation


# Narrower and wider than the encoder's 64 features, and not in whole vectors of 16.
STACKS = {
    "tanh": [layer(64, 64, "tanh")],
    "relu": [layer(40, 64, "relu")],
    "gelu": [layer(64, 64, "gelu"), layer(3, 64, "identity")],
    "sigmoid": [layer(1, 64, "sigmoid")],
    "identity without bias": [layer(130, 64, "identity", bias=False)],
    "three": [layer(40, 64, "tanh"), layer(77, 40, "identity"), layer(16, 77, "tanh")],
}


EXACT: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": gelu,
    "sigmoid": lambda x: np.exp(-np.logaddexp(0, -x)),
}


def vectors(stack: list[Layer], compute_type: str, isa: str = "", threads: int = 1) -> Floats:
    """Return the vectors of the texts, pooled by their mean."""
    tensors = random_tensors(SMALL, int8=compute_type == "int8")
    model = _core.Engine(SMALL, tensors, compute_type, isa, dense=stack)
    width = len(stack[-1][0]) if stack else SMALL.hidden
    return encode(model, SMALL, TEXTS, dimensions=width, threads=threads)


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("compute_type", ["int8", "float32"])
def test_close_to_float64(name: str, compute_type: str) -> None:
    expected: NDArray[np.float64] = vectors([], compute_type).astype(np.float64)
    for weight, bias, activation in STACKS[name]:
        expected = expected @ weight.T.astype(np.float64) + (0 if bias is None else bias)
        expected = EXACT[activation](expected)
    np.testing.assert_allclose(vectors(STACKS[name], compute_type), expected, atol=2e-6)


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("compute_type", ["int8", "float32"])
def test_same_bits_on_every_instruction_set_and_team(name: str, compute_type: str) -> None:
    expected = vectors(STACKS[name], compute_type, "scalar")
    for isa in SUPPORTED:
        for threads in (1, 3):
            found = vectors(STACKS[name], compute_type, isa, threads)
            assert_same_bits(found, expected, f"{isa}, {threads} threads")


def test_truncated_and_normalised_vectors() -> None:
    model = _core.Engine(SMALL, random_tensors(SMALL), "int8", dense=STACKS["tanh"])
    whole = encode(model, SMALL, TEXTS, dimensions=64)
    assert_same_bits(encode(model, SMALL, TEXTS, dimensions=10), whole[:, :10].copy())
    lengths = np.linalg.norm(encode(model, SMALL, TEXTS, dimensions=64, normalize=True), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        (
            [layer(64, 63, "tanh")],
            r"dense layer 0 does not fit: expected a weight of \[any\]\[64\]",
        ),
        ([layer(40, 64, "tanh"), layer(40, 64, "tanh")], r"dense layer 1 .*\[any\]\[40\]"),
        ([(*layer(64, 64, "tanh")[:1], np.zeros(3, np.float32), "tanh")], "dense layer 0"),
        ([layer(64, 64, "silu")], "unknown activation 'silu', expected one of identity, tanh"),
    ],
)
def test_layers_that_do_not_fit(stack: list[Layer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.Engine(SMALL, random_tensors(SMALL), "int8", dense=stack)


def test_more_dimensions_than_the_last_layer_has() -> None:
    model = _core.Engine(SMALL, random_tensors(SMALL), "int8", dense=STACKS["three"])
    with pytest.raises(ValueError, match="dimensions must be 1 to 16, not 17"):
        encode(model, SMALL, TEXTS, dimensions=17)


@pytest.mark.parametrize("isa", SUPPORTED)
def test_tanh(isa: str) -> None:
    size = np.concatenate(
        [np.geomspace(1e-38, 100, 40_000), np.linspace(0.6, 0.65, 8_000)], dtype=np.float32
    )
    x = np.concatenate([size, -size])
    found = activated(isa, x, "tanh")
    exact = np.tanh(x.astype(np.float64))
    assert np.abs(found / exact - 1).max() < 2.1e-7
    assert_same_bits(found[: len(size)], -found[len(size) :])
    ends = np.array([0.0, -0.0, 1e-45, -1e-45, 20, -20, 3e38, -3e38] * 2, np.float32)
    wanted = np.array([0.0, -0.0, 1e-45, -1e-45, 1, -1, 1, -1] * 2, np.float32)
    assert_same_bits(activated(isa, ends, "tanh"), wanted)
    assert_same_bits(found, activated("scalar", x, "tanh"))


@pytest.mark.parametrize("isa", SUPPORTED)
def test_sigmoid(isa: str) -> None:
    size = np.geomspace(1e-38, 86, 40_000, dtype=np.float32)
    x = np.concatenate([size, -size])
    found = activated(isa, x, "sigmoid")
    exact = EXACT["sigmoid"](x.astype(np.float64))
    assert np.abs(found / exact - 1).max() < 4e-7
    assert_same_bits(found, activated("scalar", x, "sigmoid"))
    ends = np.array([0, -0.0, 1e-45, 20, 3e38, -87.5, -3e38], np.float32)
    wanted = np.array([0.5, 0.5, 0.5, 1, 1, 0, 0], np.float32)
    assert_same_bits(activated(isa, ends, "sigmoid"), wanted)


@pytest.mark.parametrize("isa", SUPPORTED)
@pytest.mark.parametrize("labels", [1, 2, 3, 16, 17, 40])
def test_softmax(isa: str, labels: int) -> None:
    rng = np.random.default_rng(labels)
    x = (rng.standard_normal((50, labels)) * np.geomspace(0.1, 100, 50)[:, np.newaxis]).astype("f4")
    found = _core.softmax(x, isa)
    powers = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), atol=3e-7)
    assert_same_bits(found, _core.softmax(x, "scalar"))
    for row in range(0, 50, 7):
        assert_same_bits(_core.softmax(x[row : row + 1], isa), found[row : row + 1])


def activated(isa: str, x: Floats, activation: str) -> Floats:
    """Return what the kernel makes of values (n,)."""
    return _core.activate(x[np.newaxis], activation, isa)[0]
