"""The core's Engine refuses every wrong shape, type and size by an error, never by a crash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import _core
from core.isas import assert_same_bits
from core.models import (
    Sizes,
    Tensors,
    encode,
    make_model,
    ragged,
    random_tensors,
    random_texts,
)

SIZES = Sizes()
QUERY = "encoder.layer.1.attention.self.query"
IDS = np.arange(10, dtype=np.int32)
OFFSETS = np.array([0, 4, 10], np.int64)


def make(
    config: Mapping[str, Any] | None = None,
    tensors: Tensors | None = None,
    compute_type: str = "int8",
    isa: str = "",
) -> _core.Engine:
    """Make the model with some values of the config and some tensors replaced."""
    all_tensors = {**random_tensors(SIZES), **(tensors or {})}
    return _core.Engine(replace(SIZES, **(config or {})), all_tensors, compute_type, isa)


def run(model: _core.Engine, **changes: Any) -> None:
    """Encode two texts, with some arguments replaced."""
    arguments: dict[str, Any] = {
        "ids": IDS,
        "offsets": OFFSETS,
        "pooling": "mean",
        "dimensions": 64,
        "normalize": False,
        "precision": "float32",
        "threads": 1,
        "vectors": np.zeros((2, 64), np.float32),
        **changes,
    }
    model.encode(**arguments)


@pytest.fixture(scope="module")
def model() -> _core.Engine:
    return make()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("layers", 0, "layers is 0, expected a positive number"),
        ("layers", -1, "layers is -1"),
        ("hidden", 0, "hidden is 0, expected 1 to 32768"),
        ("hidden", 2**20, "hidden is 1048576"),
        ("heads", 0, "heads is 0, expected a divisor of hidden, 64"),
        ("heads", -4, "heads is -4"),
        ("heads", 3, "heads is 3"),
        ("intermediate", 0, "intermediate is 0, expected 1 to 32768"),
        ("padding_id", -2, "padding_id is -2, expected -1 to 510"),
        ("padding_id", 511, "padding_id is 511, expected -1 to 510"),
        ("distance_buckets", 16, "distance_buckets is 16, expected 0 or 32"),
        ("intermediate", 2**17, "intermediate is 131072"),
        ("positions", 0, "positions is 0, expected 1 to 32768"),
        ("positions", 2**15 + 1, "positions is 32769"),
        ("vocab", 0, "vocab is 0, expected a positive number"),
        ("token_types", 0, "token_types is 0"),
    ],
)
def test_bad_config(field: str, value: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make({field: value})


def test_more_heads_than_padding_permits() -> None:
    with pytest.raises(ValueError, match="heads is 4096, expected at most 2048, each padded to 16"):
        make({"hidden": 4096, "heads": 4096})


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("layers", 3, "encoder.layer.2.attention.self.query.weight"),
        ("layers", 2**31 - 1, "encoder.layer.2.attention.self.query.weight"),
        ("hidden", 128, "embeddings.word_embeddings.weight"),
        ("intermediate", 64, "encoder.layer.0.intermediate.dense.weight"),
        ("vocab", 61, "embeddings.word_embeddings.weight"),
        ("vocab", 2**31 - 1, "embeddings.word_embeddings.weight"),
        ("positions", 511, "embeddings.position_embeddings.weight"),
        ("token_types", 3, "embeddings.token_type_embeddings.weight"),
    ],
)
def test_config_that_does_not_fit_the_tensors(field: str, value: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"tensor '{name}'"):
        make({field: value})


@pytest.mark.parametrize("compute_type", ["int8", "float32"])
@pytest.mark.parametrize("int8", [True, False])
def test_missing_tensors(compute_type: str, int8: bool) -> None:
    tensors = random_tensors(SIZES, int8=int8, factors=False)
    for missing in tensors:
        others = {name: tensor for name, tensor in tensors.items() if name != missing}
        with pytest.raises(ValueError, match=f"tensor '{missing}' is missing"):
            make_model(SIZES, others, compute_type)


def wrong_tensors() -> dict[str, tuple[str, NDArray[Any], str]]:
    """Return for each mistake the tensor's name, the wrong tensor and what the message says."""
    good = random_tensors(SIZES)
    weight, bias = good[f"{QUERY}.weight"], good[f"{QUERY}.bias"]
    lowest = weight.copy()
    lowest[63, 62] = -128
    words = "embeddings.word_embeddings"
    return {
        "float64 weight": (f"{QUERY}.weight", weight.astype("f8"), "must be float32 or int8"),
        "uint8 weight": (f"{QUERY}.weight", weight.view("u1"), "must be float32 or int8"),
        "object weight": (f"{QUERY}.weight", weight.astype(object), "must be float32 or int8"),
        "float32 weight": (f"{QUERY}.weight", weight.astype("f4"), "is float32; int8 compute"),
        "columns": (f"{QUERY}.weight", weight[:, ::2], "must be in C order"),
        "transposed": (f"{QUERY}.weight", weight.T, "must be in C order"),
        "row missing": (f"{QUERY}.weight", weight[:-1], r"shape \[63, 64\], expected \[64, 64\]"),
        "flat": (f"{QUERY}.weight", weight.ravel(), r"shape \[4096\], expected \[64, 64\]"),
        "minus 128": (f"{QUERY}.weight", lowest, r"has a value of -128; int8 weights must be in"),
        "bias 2-D": (f"{QUERY}.bias", bias[np.newaxis], r"shape \[1, 64\], expected \[64\]"),
        "bias 0-D": (f"{QUERY}.bias", bias[0:1].reshape(()), r"shape \[\], expected \[64\]"),
        "empty bias": (f"{QUERY}.bias", bias[:0], r"shape \[0\], expected \[64\]"),
        "int8 bias": (f"{QUERY}.bias", np.zeros(64, "i1"), "is int8, expected float32"),
        "other byte order": (f"{QUERY}.bias", bias.astype(">f4"), "must be float32 or int8"),
        "unaligned": (f"{QUERY}.bias", np.zeros(257, "u1")[1:].view("f4"), "and aligned"),
        "float64 scale": (f"{QUERY}.weight_scale", np.ones(64), "must be float32 or int8"),
        "one scale": (f"{QUERY}.weight_scale", np.ones(1, "f4"), r"shape \[1\], expected \[64\]"),
        "factor": (f"{QUERY}.input_factor", np.ones(63, "f4"), r"shape \[63\], expected \[64\]"),
        "word scale": (f"{words}.scale", np.ones(59, "f4"), r"shape \[59\], expected \[1\]"),
        "words": (f"{words}.weight", good[f"{words}.weight"][:-1], r"shape \[59, 64\]"),
    }


@pytest.mark.parametrize("mistake", wrong_tensors())
def test_wrong_tensor(mistake: str) -> None:
    name, tensor, message = wrong_tensors()[mistake]
    with pytest.raises(ValueError, match=f"tensor '{name}'.*{message}"):
        make(tensors={name: tensor})


@pytest.mark.parametrize("part", ["key", "value"])
def test_query_key_and_value_share_one_input_factor(part: str) -> None:
    name = QUERY.replace("query", part) + ".input_factor"
    other = np.ones(64, np.float32)
    with pytest.raises(ValueError, match=f"tensor '{name}' differs from '{QUERY}.input_factor'"):
        make(tensors={name: other})
    without = {key: tensor for key, tensor in random_tensors(SIZES).items() if key != name}
    with pytest.raises(ValueError, match=f"tensor '{name}' differs"):
        make_model(SIZES, without, "int8")
    make(tensors={name: other}, compute_type="float32")  # weights have their factors inside


def test_unknown_compute_type() -> None:
    with pytest.raises(ValueError, match="unknown compute_type 'int4', expected one of"):
        make(compute_type="int4")


def test_unknown_instruction_set() -> None:
    with pytest.raises(
        ValueError, match=r"unknown instruction set 'sse9'; this build has: .*scalar"
    ):
        make(isa="sse9")


def test_instruction_set_that_this_cpu_lacks() -> None:
    lacking = [name for name, supported in _core.instruction_sets() if not supported]
    if not lacking:
        pytest.skip("this CPU has every instruction set of the build")
    for name in lacking:
        with pytest.raises(ValueError, match=f"'{name}' is not supported by this CPU"):
            make(isa=name)


def test_no_name_means_the_best_instruction_set() -> None:
    best = next(name for name, supported in _core.instruction_sets() if supported)
    assert make().isa == best
    assert make(isa="scalar").isa == "scalar"


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([], "offsets at least one entry"),
        ([[0, 4, 10]], "one dimension"),
        ([1, 4, 10], "offsets must begin with 0"),
        ([0, 4, 9], "the last offset is 9, expected the number of ids, 10"),
        ([0, 4, 11], "the last offset is 11, expected the number of ids, 10"),
        ([0, 11, 10], "text 1 has -1 tokens"),
        ([0, -4, 10], "text 0 has -4 tokens"),
        ([0, 0, 10], "text 0 has 0 tokens, expected 1 to 512"),
        ([0, 10, 10], "text 1 has 0 tokens"),
        ([0, 2**62, 10], "text 0 has 4611686018427387904 tokens"),
        ([0, -(2**63), 10], "text 0 has -9223372036854775808 tokens"),
    ],
)
def test_wrong_offsets(model: _core.Engine, offsets: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(model, offsets=np.array(offsets, np.int64))


def test_an_offset_so_low_that_a_difference_overflows(model: _core.Engine) -> None:
    offsets = np.array([0, 4, -(2**63), 10])
    with pytest.raises(ValueError, match="text 1 has 9223372036854775804 tokens"):
        run(model, offsets=offsets, vectors=np.zeros((3, 64), np.float32))


def test_too_long_a_text(model: _core.Engine) -> None:
    ids, offsets = np.zeros(520, np.int32), np.array([0, 7, 520])
    with pytest.raises(ValueError, match="text 1 has 513 tokens, expected 1 to 512"):
        run(model, ids=ids, offsets=offsets)


@pytest.mark.parametrize("token", [-1, 60, 2**31 - 1, -(2**31)])
def test_ids_outside_the_vocabulary(model: _core.Engine, token: int) -> None:
    ids = IDS.copy()
    ids[7] = token
    message = f"token id {token} at position 7 is outside the vocabulary of 60"
    with pytest.raises(ValueError, match=message):
        run(model, ids=ids)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint32, object])
def test_ids_of_another_type_are_not_converted(model: _core.Engine, dtype: Any) -> None:
    with pytest.raises(TypeError, match="incompatible function arguments"):
        run(model, ids=IDS.astype(dtype))


def wrong_vectors() -> dict[str, NDArray[Any]]:
    read_only = np.zeros((2, 64), np.float32)
    read_only.flags.writeable = False
    return {
        "one row": np.zeros((1, 64), "f4"),
        "three rows": np.zeros((3, 64), "f4"),
        "63 columns": np.zeros((2, 63), "f4"),
        "one dimension": np.zeros(128, "f4"),
        "three dimensions": np.zeros((2, 64, 1), "f4"),
        "column order": np.zeros((64, 2), "f4").T,
        "every other row": np.zeros((4, 64), "f4")[::2],
        "int32": np.zeros((2, 64), "i4"),
        "uint32": np.zeros((2, 64), "u4"),
        "other byte order": np.zeros((2, 64), ">f4"),
        "float64, half as wide": np.zeros((2, 32), "f8"),
        "complex, half as wide": np.zeros((2, 32), "c8"),
        "bytes, four times as wide": np.zeros((2, 256), "u1"),
        "read-only": read_only,
    }


@pytest.mark.parametrize("mistake", wrong_vectors())
def test_wrong_vectors(model: _core.Engine, mistake: str) -> None:
    vectors = wrong_vectors()[mistake]
    with pytest.raises(ValueError, match="vectors"):
        run(model, vectors=vectors)
    assert not vectors.any()


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_vectors_of_the_other_signedness(model: _core.Engine, precision: str) -> None:
    columns = 8 if "binary" in precision else 64
    wrong = np.int8 if precision.startswith("u") else np.uint8
    with pytest.raises(ValueError, match="vectors"):
        run(model, precision=precision, vectors=np.zeros((2, columns), wrong))


@pytest.mark.parametrize("mistake", [*wrong_vectors()][3:])
def test_wrong_token_embeddings(model: _core.Engine, mistake: str) -> None:
    with pytest.raises(ValueError, match="token_embeddings"):
        run(
            model,
            ids=IDS[:2],
            offsets=np.array([0, 2]),
            vectors=None,
            token_embeddings=wrong_vectors()[mistake],
        )


@pytest.mark.parametrize("dimensions", [-1, 0, 65, 2**31 - 1])
def test_wrong_dimensions(model: _core.Engine, dimensions: int) -> None:
    columns = min(max(dimensions, 0), 65)
    with pytest.raises(ValueError, match=r"dimensions|vectors"):
        run(model, dimensions=dimensions, vectors=np.zeros((2, columns), np.float32))


@pytest.mark.parametrize(("name", "value"), [("pooling", "median"), ("precision", "int4")])
def test_unknown_names(model: _core.Engine, name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"unknown {name} '{value}', expected one of"):
        run(model, **{name: value})


@pytest.mark.parametrize("changed", ["ids", "offsets"])
def test_arrays_that_change_while_they_are_encoded(model: _core.Engine, changed: str) -> None:
    """What is encoded is what was checked, whatever another thread does to the arrays meanwhile."""
    texts = random_texts(SIZES, [500] * 200)
    ids, offsets = ragged(texts)
    expected = encode(model, SIZES, texts, threads=2)
    calls = 0

    def poll() -> None:
        nonlocal calls
        calls += 1
        if changed == "ids":
            ids[:] = 2**31 - 1
        else:
            offsets[1:] = 2**62

    vectors = np.zeros((len(texts), 64), np.float32)
    run(model, ids=ids, offsets=offsets, vectors=vectors, poll=poll)
    assert calls, "the batch is too small: nothing has changed during it"
    assert_same_bits(vectors, expected)


def test_the_model_works_after_every_refusal() -> None:
    texts = random_texts(SIZES, [3, 20])
    model = make()
    expected = encode(model, SIZES, texts)
    for offsets in ([0, 4, 9], [0, 0, 10]):
        with pytest.raises(ValueError, match=r"offset|tokens"):
            run(model, offsets=np.array(offsets))
    assert_same_bits(encode(model, SIZES, texts), expected)
