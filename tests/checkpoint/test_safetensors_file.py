"""Reading safetensors files, with the safetensors package as the oracle."""

from __future__ import annotations

import json
import mmap
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from safetensors.numpy import load, load_file, save, save_file

from bge_micro.checkpoint import CheckpointError, MissingFileError, open_tensors
from bge_micro.checkpoint.safetensors_file import MAX_HEADER_BYTES
from properties import examples

SMALL: dict[str, NDArray[Any]] = {
    "words": np.arange(12, dtype=np.int8).reshape(3, 4),
    "bias": np.linspace(-1, 1, 5, dtype=np.float32),
    "half": np.array([[0.5, -2.0]], dtype=np.float16),
}


def file_of(header: Any, data: bytes = b"") -> bytes:
    """Return a file with this header, given as JSON text or as a value."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str, shape: list[Any], begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def read(path: Path, content: bytes, mmap: bool = False) -> dict[str, NDArray[Any]]:
    path.write_bytes(content)
    return dict(open_tensors(path, mmap))


def assert_equal(found: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("mapped", [False, True])
@given(
    arrays=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
            lambda name: name != "__metadata__"
        ),
        st.sampled_from(["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "u2", "u4", "?"]).flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=5))
        ),
        min_size=1,
        max_size=5,
    )
)
@examples(40)
def test_reads_what_the_package_writes(
    tmp_path_factory: pytest.TempPathFactory, mapped: bool, arrays: dict[str, NDArray[Any]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.safetensors"
    save_file(arrays, path, metadata={"format": "pt"})
    assert_equal(dict(open_tensors(path, mapped)), arrays)


def test_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    bits = np.array([[0x3F80, 0xC000], [0x0001, 0x7F7F]], dtype="<u2")
    content = file_of({"w": entry("BF16", [2, 2], 0, 8)}, bits.tobytes())
    found = read(tmp_path / "bf16.safetensors", content)["w"]
    assert found.dtype == np.float32
    assert found[0].tolist() == [1.0, -2.0]
    assert found.tobytes() == (bits.astype("<u4") << 16).tobytes()


@pytest.mark.parametrize("mapped", [False, True])
def test_arrays_are_read_only_and_aligned(tmp_path: Path, mapped: bool) -> None:
    # One byte before the floats: they cannot be a view of the file.
    header = {"a": entry("I8", [1], 0, 1), "b": entry("F32", [2], 1, 9)}
    data = b"\x05" + np.array([1.5, -2.5], "<f4").tobytes()
    arrays = read(tmp_path / "odd.safetensors", file_of(header, data), mapped)
    assert arrays["b"].tolist() == [1.5, -2.5]
    assert arrays["b"].flags.aligned
    assert not any(array.flags.writeable for array in arrays.values())


def test_mapped_arrays_share_the_mapping(tmp_path: Path) -> None:
    path = tmp_path / "mapped.safetensors"
    save_file(SMALL, path)
    tensors = open_tensors(path, mmap=True)
    owners = []
    for name in SMALL:
        owner: Any = tensors[name]
        while isinstance(owner, np.ndarray):
            assert not owner.flags.owndata
            owner = owner.base
        owners.append(owner.obj)
    assert isinstance(owners[0], mmap.mmap)
    assert all(owner is owners[0] for owner in owners)
    assert np.shares_memory(tensors["words"], tensors["words"])


def test_header_may_end_in_blanks_and_tensors_stand_in_any_order(tmp_path: Path) -> None:
    header = {"b": entry("I8", [2], 2, 4), "a": entry("I8", [2], 0, 2), "__metadata__": {"k": "v"}}
    content = file_of(json.dumps(header).encode() + b"   ", bytes([1, 2, 3, 4]))
    assert_equal(read(tmp_path / "padded.safetensors", content), load(content))


BAD_ENTRIES = {
    "dtype unknown": (entry("F8_E4M3", [4], 0, 4), "dtype 'F8_E4M3'"),
    "dtype no string": (entry(["F32"], [1], 0, 4), "dtype"),  # type: ignore[arg-type]
    "shape too large": (entry("F32", [2], 0, 4), "needs 8 bytes"),
    "shape too small": (entry("F32", [1], 0, 8), "needs 4 bytes"),
    "shape overflows 64 bits": (entry("F32", [2**62, 2**62], 0, 4), "needs"),
    "shape wraps to the right size": (entry("I8", [2**32, 2**32 + 1], 0, 4), "needs"),
    "shape negative": (entry("F32", [-1], 0, 4), "shape"),
    "two sizes negative": (entry("F32", [-1, -1], 0, 4), "not a list of sizes"),
    "shape fractional": (entry("F32", [1.0], 0, 4), "shape"),
    "shape of booleans": (entry("F32", [True], 0, 4), "shape"),
    "shape no list": (entry("F32", "1", 0, 4), "shape"),  # type: ignore[arg-type]
    "shape of 17 dimensions": (entry("F32", [1] * 17, 0, 4), "shape"),
    "offsets reversed": (entry("F32", [1], 4, 0), "data_offsets"),
    "offsets negative": (entry("F32", [1], -4, 0), "data_offsets"),
    "offsets past the end": (entry("F32", [2], 0, 8), "cut off"),
    "offsets a byte past the end": (entry("I8", [5], 0, 5), "cut off"),
    "gap before": (entry("I8", [2], 2, 4), "leaves a gap"),
    "three offsets": ({**entry("F32", [1], 0, 4), "data_offsets": [0, 4, 4]}, "data_offsets"),
    "no dtype": ({"shape": [1], "data_offsets": [0, 4]}, "expected dtype"),
    "more keys": ({**entry("F32", [1], 0, 4), "more": 1}, "expected dtype"),
    "no object": ([1, 2], "expected dtype"),
}


@pytest.mark.parametrize("case", BAD_ENTRIES)
@pytest.mark.parametrize("mapped", [False, True])
def test_bad_entries_name_file_and_tensor(tmp_path: Path, case: str, mapped: bool) -> None:
    bad, message = BAD_ENTRIES[case]
    path = tmp_path / "bad.safetensors"
    with pytest.raises(CheckpointError, match=message) as caught:
        read(path, file_of({"the_tensor": bad}, bytes(4)), mapped)
    assert str(path) in str(caught.value)
    assert "the_tensor" in str(caught.value)


BAD_FILES = {
    "empty": (b"", "too few"),
    "seven bytes": (bytes(7), "too few"),
    "no header": (bytes(8), "does not begin"),
    "header longer than the file": (b"\xff\x00\x00\x00\x00\x00\x00\x00{}", "header of 255 bytes"),
    "header of 2^64 - 1 bytes": (b"\xff" * 8 + b"{}", "header of 18446744073709551615"),
    "header is an array": (file_of([1]), "does not begin"),
    "header is not UTF-8": (file_of(b'{"\xff": 1}'), "not valid JSON"),
    "header is cut off": (file_of(b'{"a": '), "not valid JSON"),
    "header ends in junk": (file_of(b"{} x"), "not valid JSON"),
    "deep nesting": (file_of(b'{"a":' + b"[" * 200_000), "nested too deeply"),
    "deep objects": (file_of(b'{"a":' * 200_000), "nested too deeply"),
    "integer of 41 digits": (file_of(b'{"a": 1' + b"0" * 40 + b"}"), "41 digits"),
    "offset of minus zero": (
        file_of(b'{"a": {"dtype": "I8", "shape": [0], "data_offsets": [0, -0]}}'),
        "-0.0",
    ),
    "endless integer": (file_of(b'{"a": ' + b"9" * 100_000 + b"}"), "100000 digits"),
    "NaN": (file_of(b'{"a": NaN}'), "NaN"),
    "metadata of numbers": (file_of({"__metadata__": {"a": 1}}), "__metadata__"),
    "metadata no object": (file_of({"__metadata__": "pt"}), "__metadata__"),
    "data that no tensor covers": (file_of({}, b"x"), "cover 0 bytes"),
    "the same name twice": (
        file_of(b'{"a":' + json.dumps(entry("I8", [0], 0, 0)).encode() + b',"a":3}'),
        "'a' appears twice",
    ),
    "overlap": (
        file_of({"a": entry("I8", [3], 0, 3), "b": entry("I8", [2], 2, 4)}, bytes(4)),
        "tensor 'b'.*overlaps",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
@pytest.mark.parametrize("mapped", [False, True])
def test_bad_files_name_the_file(tmp_path: Path, case: str, mapped: bool) -> None:
    content, message = BAD_FILES[case]
    path = tmp_path / "bad.safetensors"
    with pytest.raises(CheckpointError, match=message) as caught:
        read(path, content, mapped)
    assert str(path) in str(caught.value)


def test_a_header_over_the_bound_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse.safetensors"
    with path.open("wb") as file:
        file.write((MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b"{")
        file.truncate(MAX_HEADER_BYTES + 100)
    with pytest.raises(CheckpointError, match="at most"):
        open_tensors(path, mmap=True)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    content = save(SMALL)
    for length in range(len(content)):
        with pytest.raises(CheckpointError, match=r"cut\.safetensors"):
            read(tmp_path / "cut.safetensors", content[:length])


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"absent\.safetensors") as caught:
        open_tensors(tmp_path / "absent.safetensors")
    assert isinstance(caught.value, FileNotFoundError)
    assert isinstance(caught.value, CheckpointError)
    with pytest.raises(CheckpointError, match="regular file"):
        open_tensors(tmp_path)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return the content with one to three bytes or parts damaged, most of them in the header."""
    result = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(min(len(result), 8 + 300) if rng.random() < 0.8 else len(result))
        kind = rng.randrange(4)
        if kind == 0:
            result[at] = rng.randrange(256)
        elif kind == 1:
            result[at] = rng.choice(b'0123456789-[]{},:"FIU. e')
        elif kind == 2:
            del result[at : at + rng.randint(1, 9)]
        else:
            result[at:at] = result[at : at + rng.randint(1, 20)]
        # In half of the cases the header's length stays right, so that the JSON itself is read.
        end = bytes(result).rfind(b"]}}")
        if rng.random() < 0.5 and end > 8:
            result[:8] = (end + 3 - 8).to_bytes(8, "little")
    return bytes(result)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_refused_or_mean_what_the_package_reads(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    content = save(SMALL, metadata={"format": "pt"})
    path = tmp_path / "damaged.safetensors"
    accepted = 0
    refusals = []
    for _ in range(250):
        damaged = mutated(content, rng)
        path.write_bytes(damaged)
        try:
            found = dict(open_tensors(path))
        except CheckpointError as error:
            refusals.append(str(error))
        else:
            accepted += 1
            assert_equal(found, load_file(path))
    assert all(str(path) in refusal for refusal in refusals)
    assert accepted  # else all files were refused, and the test compared nothing
