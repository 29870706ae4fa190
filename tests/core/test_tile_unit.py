"""Products by AMX's tile unit: all shapes of blocks and tails, by a model of the unit or by AMX.

`amx_int8_model` is the source of `amx_int8` over a plain C++ model of the tile unit. Every other
test of the core runs on it too; these have the sizes at which tiles begin, end and overlap, and are
large enough for tiles (`tiles_pay` in kernels/tile_unit.h).
"""

from __future__ import annotations

import numpy as np
import pytest

from bge_micro import _core
from core.isas import SUPPORTED, Floats, assert_same_bits
from core.test_linear_int8 import LANES, random_layer, random_rows

TILED = [isa for isa in SUPPORTED if isa in ("amx_int8", "amx_int8_model")]

pytestmark = [
    pytest.mark.skipif(not TILED, reason="neither AMX nor, for its model, AVX2"),
    pytest.mark.parametrize("isa", TILED),
]

# Around one, two and three tiles of 16 rows, and blocks of two of them.
ROWS = (3, 5, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 65, 80)


@pytest.mark.parametrize("inner", [16, 48, 64, 80, 96, 112, 128, 384, 400, 1536])
def test_every_depth(isa: str, inner: int) -> None:
    """Less than a tile's 64 codes, whole tiles, and rests of 16, 32 and 48 codes."""
    layer = random_layer(24 * LANES, inner)
    x = random_rows(max(ROWS), inner)
    expected = layer.model(x)
    for rows in ROWS:
        assert_same_bits(layer.run(isa, x[:rows]), expected[:rows], f"{rows} rows")


@pytest.mark.parametrize("rows", ROWS)
def test_every_number_of_panels(isa: str, rows: int) -> None:
    """Blocks of four, three, two and one panels, from any panel on."""
    layer = random_layer(26 * LANES, 400)
    x = random_rows(rows, 400)
    whole = layer.model(x)
    for begin, end in [(0, 26), (1, 26), (0, 25), (3, 26), (5, 10), (7, 25), (25, 26)]:
        expected = np.full_like(whole, np.nan)
        columns = slice(begin * LANES, end * LANES)
        expected[:, columns] = whole[:, columns]
        assert_same_bits(layer.run(isa, x, panels=(begin, end)), expected, f"{begin} to {end}")


def test_every_range_of_rows(isa: str) -> None:
    """Rows before and after the range are neither used nor written, though tiles overlap."""
    layer = random_layer(24 * LANES, 80)
    x = random_rows(60, 80)
    whole = layer.model(x)
    for begin in (0, 1, 13, 16, 27):
        for end in range(begin, 61):
            expected = np.full_like(whole, np.nan)
            expected[begin:end] = whole[begin:end]
            assert_same_bits(layer.run(isa, x, rows=(begin, end)), expected, f"{begin}-{end}")


def test_codes_and_weights_of_every_sign(isa: str) -> None:
    """Codes -128 to 127 by weights -127 to 127, saturated rows and columns among them."""
    layer = random_layer(32 * LANES, 256)
    layer.weight[:4] = [[127], [-127], [0], [1]]
    x = random_rows(37, 256)
    x[:4] = [[1], [-1], [0], [1e-3]]
    assert_same_bits(layer.run(isa, x), layer.model(x))
    assert_same_bits(layer.run(isa, x, gelu=True), layer.run("scalar", x, gelu=True))


def attention(isa: str, qkv: Floats, heads: int, bias: Floats | None = None) -> Floats:
    return _core.layers.attention(isa, "int8", qkv, heads, bias)


@pytest.mark.parametrize("head_size", [16, 32, 64, 80])
@pytest.mark.parametrize("tokens", [97, 128, 159, 160, 161, 177, 200, 255, 256, 300, 511, 512])
def test_keys_and_values(isa: str, head_size: int, tokens: int) -> None:
    """Heads of a quarter of a tile and more, texts whose number of keys is no whole tile."""
    rng = np.random.default_rng([tokens, head_size])
    qkv = rng.standard_normal((tokens, 6 * head_size)).astype(np.float32)
    qkv[:, 0] *= 30
    assert_same_bits(attention(isa, qkv, 2), attention("scalar", qkv, 2))


def test_keys_with_a_bias_of_distance(isa: str) -> None:
    rng = np.random.default_rng(1)
    qkv = rng.standard_normal((203, 192)).astype(np.float32)
    bias = rng.standard_normal((32, 2)).astype(np.float32)
    assert_same_bits(attention(isa, qkv, 2, bias), attention("scalar", qkv, 2, bias))
