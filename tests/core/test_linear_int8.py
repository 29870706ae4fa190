"""int8 linear layers: exact integer sums, then one conversion and one multiply-add.

No test here has a tolerance: on every instruction set a result equals, to the last bit, what NumPy
computes with exact integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import _core
from core.isas import Floats, assert_same_bits, gelu, special_rows

LANES = 16
ROW_COUNTS = [*range(1, 41), 47, 48, 49, 96, 97]  # around every tile's height and its multiples


@dataclass(frozen=True)
class Layer:
    weight: NDArray[np.int8]  # [out, in]
    scale: Floats  # [out]
    bias: Floats  # [out]
    factor: Floats | None = None  # [in]

    @property
    def panels(self) -> int:
        return len(self.weight) // LANES

    def run(
        self,
        isa: str,
        x: Floats,
        rows: tuple[int, int] | None = None,
        panels: tuple[int, int] | None = None,
        gelu: bool = False,
    ) -> Floats:
        """Run the kernel, on all rows and columns by default; outputs it does not write are NaN."""
        return _core.layers.linear(
            isa,
            "int8",
            x,
            self.weight,
            self.scale,
            self.bias,
            self.factor,
            gelu,
            rows or (0, len(x)),
            panels or (0, self.panels),
        )

    def model(self, x: Floats) -> Floats:
        """Compute with NumPy what the kernel must give, from the codes of the rows of x."""
        codes, row_scale, zero_point = _core.kernels.quantize("scalar", x, self.factor)
        # float64 holds these integers exactly: they stay below 2**31.
        sums = (codes - zero_point[:, np.newaxis]).astype(np.float64) @ self.weight.T.astype(
            np.float64
        )
        scale = row_scale[:, np.newaxis] * self.scale
        result: Floats = _core.kernels.soft_fma(
            sums.astype(np.int32).astype(np.float32), scale, self.bias
        )
        return result


def random_layer(outputs: int, inner: int, seed: int = 0) -> Layer:
    rng = np.random.default_rng([seed, outputs, inner])
    return Layer(
        rng.integers(-127, 128, (outputs, inner)).astype(np.int8),
        np.exp(rng.standard_normal(outputs) - 5).astype(np.float32),
        rng.standard_normal(outputs).astype(np.float32),
    )


def random_rows(rows: int, inner: int) -> Floats:
    return np.random.default_rng([rows, inner]).standard_normal((rows, inner)).astype(np.float32)


@pytest.mark.parametrize("panels", [1, 3, 4])
def test_any_number_of_rows(isa: str, panels: int) -> None:
    layer = random_layer(panels * LANES, 80)
    x = random_rows(max(ROW_COUNTS), 80)
    expected = layer.model(x)
    for rows in ROW_COUNTS:
        assert_same_bits(layer.run(isa, x[:rows]), expected[:rows], f"{rows} rows")


@pytest.mark.parametrize("inner", [16, 32, 48, 64, 128, 192, 384, 1536])
@pytest.mark.parametrize("outputs", [16, 64, 384, 1152, 1536])
def test_any_size(isa: str, outputs: int, inner: int) -> None:
    layer = random_layer(outputs, inner)
    x = random_rows(13, inner)
    assert_same_bits(layer.run(isa, x), layer.model(x))


def weights_of_kind(kind: str, outputs: int, inner: int) -> NDArray[np.int8]:
    """Return weights for both cases of the AVX2 packer: four of one sign sum to 128, or more."""
    rng = np.random.default_rng(0)
    shape = (outputs, inner)
    small = rng.integers(-1, 2, shape)
    kinds = {
        "small": small,
        "few outliers": np.where(rng.random(shape) < 0.01, rng.choice([-127, 127], shape), small),
        "trained": np.clip(np.rint(rng.standard_normal(shape) * 30), -127, 127),
        "at the bound": np.full(shape, 32) * rng.choice([-1, 1], (outputs, 1)),
        "one above the bound": np.resize([33, 32, 32, 32, 32, 32, 32, 32], shape),
        "all the bound in one": np.where(np.arange(inner) % 4 == rng.integers(4), 127, 0),
        "outliers in one column": np.where(np.arange(outputs)[:, np.newaxis] == 9, 127, small),
        "outliers at the end": np.where(np.arange(inner) >= inner - 3, -127, small),
    }
    return np.ascontiguousarray(np.broadcast_to(kinds[kind], shape), dtype=np.int8)


KINDS = [
    "small",
    "few outliers",
    "trained",
    "at the bound",
    "one above the bound",
    "all the bound in one",
    "outliers in one column",
    "outliers at the end",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inner", [16, 48, 384])
def test_any_kind_of_weights(isa: str, inner: int, kind: str) -> None:
    plain = random_layer(48, inner)
    layer = Layer(weights_of_kind(kind, 48, inner), plain.scale, plain.bias)
    x = np.concatenate([random_rows(9, inner), special_rows(inner)])
    x[0] = 1  # all codes 127
    x[1] = -1  # all codes -128
    assert_same_bits(layer.run(isa, x), layer.model(x))
    for rows in (1, 8, 9):
        assert_same_bits(layer.run(isa, x[:rows]), layer.model(x[:rows]))


def test_every_range_of_panels_leaves_the_others_alone(isa: str) -> None:
    layer = random_layer(5 * LANES, 32)
    x = random_rows(14, 32)
    whole = layer.model(x)
    for begin in range(6):
        for end in range(begin, 6):
            expected = np.full_like(whole, np.nan)
            columns = slice(begin * LANES, end * LANES)
            expected[:, columns] = whole[:, columns]
            assert_same_bits(layer.run(isa, x, panels=(begin, end)), expected, f"{begin}-{end}")


def test_every_range_of_rows_leaves_the_others_alone(isa: str) -> None:
    layer = random_layer(3 * LANES, 16)
    x = random_rows(29, 16)
    whole = layer.model(x)
    for begin in range(30):
        for end in range(begin, 30):
            expected = np.full_like(whole, np.nan)
            expected[begin:end] = whole[begin:end]
            assert_same_bits(layer.run(isa, x, rows=(begin, end)), expected, f"{begin}-{end}")


def test_special_rows(isa: str) -> None:
    layer = random_layer(48, 64)
    x = special_rows(64)
    assert_same_bits(layer.run(isa, x), layer.model(x))


@pytest.mark.parametrize("inner", [16, 384, 1536, 32768])
def test_extreme_codes_and_weights(isa: str, inner: int) -> None:
    """Codes -128 and 127, zero points -128 and 127, weights -127 and 127, up to the longest sum."""
    alternating = np.where(np.arange(inner) % 2 == 0, 127, -127)
    weight = np.array([np.full(inner, 127), np.full(inner, -127), alternating, -alternating])
    layer = Layer(
        np.tile(weight, (8, 1)).astype(np.int8),
        np.full(32, 2**-20, np.float32),
        np.zeros(32, np.float32),
    )
    ones = np.ones(inner)
    x = np.array([ones, -ones, np.sign(alternating), -np.sign(alternating)], np.float32)
    codes, _, zero_point = _core.kernels.quantize(isa, x)
    assert set(np.unique(codes)) == {-128, 127}
    assert set(zero_point) == {-128, 127, 0}
    y = layer.run(isa, x)
    assert_same_bits(y, layer.model(x))
    # The largest possible sum: 255 * 127 * inner.
    assert abs(y[0, 0] / (127 * inner * layer.scale[0]) - 1) < 1e-6


def test_no_pair_of_code_and_weight_saturates(isa: str) -> None:
    """All 256 codes times all 255 weights, four products of one pair in each lane's step."""
    inner = 16
    weights = np.resize(np.arange(-127, 128), 256).astype(np.int8)
    layer = Layer(
        np.repeat(weights[:, np.newaxis], inner, axis=1),
        np.ones(256, np.float32),
        np.zeros(256, np.float32),
    )
    # The first value of a row makes its range 255, so the scale is 1 and values are integers.
    x = np.repeat(np.arange(256, dtype=np.float32)[:, np.newaxis], inner, axis=1)
    x[:, 0] = 255
    x[:, 1] = 0
    codes, scale, zero_point = _core.kernels.quantize(isa, x)
    assert (scale == 1).all()
    np.testing.assert_array_equal(codes - zero_point[:, np.newaxis], x)
    expected = x.astype(np.int64) @ layer.weight.T.astype(np.int64)
    np.testing.assert_array_equal(layer.run(isa, x), expected)


@pytest.mark.parametrize("inner", [16, 384])
def test_input_factor(isa: str, inner: int) -> None:
    plain = random_layer(64, inner)
    factor = np.exp(np.random.default_rng(5).standard_normal(inner)).astype(np.float32)
    layer = Layer(plain.weight, plain.scale, plain.bias, factor)
    x = random_rows(20, inner)
    assert_same_bits(layer.run(isa, x), layer.model(x))
    assert_same_bits(layer.run(isa, x), plain.run(isa, x * factor))


def test_close_to_the_float_layer(isa: str) -> None:
    layer = random_layer(384, 384)
    x = random_rows(30, 384)
    exact = x.astype(np.float64) @ (layer.weight * layer.scale[:, None].astype(np.float64)).T
    error = layer.run(isa, x) - (exact + layer.bias)
    assert np.linalg.norm(error) < 0.01 * np.linalg.norm(exact)


@pytest.mark.parametrize("rows", [1, 5, 12, 31])
@pytest.mark.parametrize("outputs", [48, 64])
def test_gelu_epilogue(isa: str, rows: int, outputs: int) -> None:
    """GELU fused to a layer has the same bits as GELU in a second layer that copies its input."""
    layer = random_layer(outputs, 64)
    x = random_rows(rows, 64)
    expected = gelu("scalar", "int8", layer.model(x).reshape(-1)).reshape(rows, outputs)
    assert_same_bits(layer.run(isa, x, gelu=True), expected)


def test_weights_of_minus_128_are_refused(isa: str) -> None:
    layer = random_layer(16, 16)
    layer.weight[3, 5] = -128
    with pytest.raises(ValueError, match=r"'weight\.weight' has a value of -128"):
        layer.run(isa, random_rows(1, 16))
