"""Dense layers after the pooling, and their tanh: close to exact, the same bits everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import _core
from core.isas import SUPPORTED, Floats, assert_same_bits
from core.models import Sizes, encode, random_tensors, random_texts

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
    "identity without bias": [layer(130, 64, "identity", bias=False)],
    "three": [layer(40, 64, "tanh"), layer(77, 40, "identity"), layer(16, 77, "tanh")],
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
        expected = np.tanh(expected) if activation == "tanh" else expected
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
        ([layer(64, 64, "relu")], "unknown activation 'relu', expected one of identity, tanh"),
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
    found = _core.kernels.tanh(isa, x)[0]
    exact = np.tanh(x.astype(np.float64))
    assert np.abs(found / exact - 1).max() < 2.1e-7
    assert_same_bits(found[: len(size)], -found[len(size) :])
    ends = np.array([0.0, -0.0, 1e-45, -1e-45, 20, -20, 3e38, -3e38] * 2, np.float32)
    wanted = np.array([0.0, -0.0, 1e-45, -1e-45, 1, -1, 1, -1] * 2, np.float32)
    assert_same_bits(_core.kernels.tanh(isa, ends)[0], wanted)
    assert_same_bits(found, _core.kernels.tanh("scalar", x)[0])
