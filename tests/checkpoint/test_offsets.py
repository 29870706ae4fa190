"""Offsets to an 8-bit export: the weights they give, and files that are refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from api.tiny_model import CONFIG, VOCAB, tiny_tensors
from bge_micro.checkpoint import CheckpointError, MissingFileError, load_folder
from bge_micro.checkpoint.side_file import file_sha256
from bge_micro.convert import convert_onnx
from bge_micro.convert.official import OFFSETS_SHA256

pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")

from quantised_export import Cells, offsets_of, write_offsets, write_quantised_export

from bge_micro.convert.onnx_reader import read_onnx

Tensors = dict[str, NDArray[Any]]

# Of the float model that the offsets at hand give for the official export: over the names of all
# tensors, sorted, each followed by a zero byte and its little-endian float32 bytes.
RESTORED_SHA256 = "963b843abb9a3c349fcffd3df3aeaa1c8c649e5ea1b1b675934bacefd424b120"


class Export(NamedTuple):
    """The stand-in: its file, vocabulary, integers, and the floats it was made from."""

    path: Path
    vocab: Path
    cells: dict[str, Cells]
    floats: Tensors

    def convert(self, out: Path, offsets: Path, compute_type: str = "float32") -> Path:
        return convert_onnx(
            self.path,
            self.vocab,
            out,
            repo_id="org/tiny",
            revision="main",
            compute_type=compute_type,
            offsets_path=offsets,
        )


@pytest.fixture
def export(tmp_path: Path) -> Export:
    path, vocab, floats = tmp_path / "model.onnx", tmp_path / "vocab.txt", tiny_tensors()
    vocab.write_text("\n".join(VOCAB) + "\n")
    return Export(path, vocab, write_quantised_export(path, floats, CONFIG), floats)


def test_weights_come_back_to_within_half_an_offset(export: Export, tmp_path: Path) -> None:
    offsets = offsets_of(export.floats, export.cells)
    file = write_offsets(tmp_path / "offsets.safetensors", offsets, export.path)
    folder = export.convert(tmp_path / "out", file)
    restored = load_folder(folder).tensors
    assert restored.keys() == export.floats.keys()
    for name, expected in export.floats.items():
        if name not in export.cells:
            assert restored[name].tobytes() == expected.tobytes()
            continue
        integers, step = export.cells[name]
        exact = step.astype(np.float64) * (integers + offsets[name] / 254)
        assert restored[name].tobytes() == exact.astype(np.float32).tobytes()
        inner = np.abs(offsets[name]) < 126
        assert inner.mean() > 0.95
        assert np.abs(restored[name] - expected)[inner].max() <= 0.501 * step / 254


def test_the_folder_says_where_its_weights_are_from(export: Export, tmp_path: Path) -> None:
    file = write_offsets(
        tmp_path / "offsets.safetensors", offsets_of(export.floats, export.cells), export.path
    )
    for compute_type in ("float32", "int8"):
        folder = export.convert(tmp_path / compute_type, file, compute_type)
        side_file = load_folder(folder).side_file
        assert side_file is not None
        assert side_file.source["sha256"] == file_sha256(export.path)
        assert side_file.source["offsets_file"] == "offsets.safetensors"
        assert side_file.source["offsets_sha256"] == file_sha256(file)
    linear = "encoder.layer.0.output.dense.weight"
    assert load_folder(tmp_path / "int8").tensors[linear].dtype == np.int8


def without(name: str) -> Callable[[Tensors], None]:
    def damage(offsets: Tensors) -> None:
        del offsets[name]

    return damage


def holding(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[..., None]:
    def damage(offsets: Tensors) -> None:
        offsets[name] = np.ascontiguousarray(change(offsets[name]))

    return damage


def with_value(value: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def change(array: NDArray[Any]) -> NDArray[Any]:
        array[-1, -1] = value
        return array

    return change


def with_a_bias(offsets: Tensors) -> None:
    offsets["encoder.layer.0.output.dense.bias"] = np.zeros(CONFIG.hidden, np.int8)


WORDS, DOWN = "embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.weight"
DAMAGES: dict[str, tuple[Callable[[Tensors], None], str]] = {
    "a missing tensor": (without(DOWN), f"tensor '{DOWN}' is missing"),
    "a tensor more": (with_a_bias, r"dense\.bias' is not a quantised matrix"),
    "transposed": (holding(DOWN, np.transpose), r"shape \[128, 64\], expected I8 of shape \[64,"),
    "too short": (holding(WORDS, lambda a: a[:-1]), r"word_embeddings.*expected I8 of shape"),
    "flat": (holding(DOWN, np.ravel), r"of shape \[8192\]"),
    "floats": (holding(DOWN, lambda a: a.astype(np.float32)), "is F32 of shape"),
    "unsigned": (holding(DOWN, lambda a: a.view(np.uint8)), "is U8 of shape"),
    "127": (holding(DOWN, with_value(127)), r"values from -\d+ to 127, expected"),
    "-127": (holding(WORDS, with_value(-127)), r"values from -127 to \d+, expected"),
    "-128": (holding(DOWN, with_value(-128)), r"values from -128 to \d+, expected"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_other_tensors_are_refused(export: Export, tmp_path: Path, case: str) -> None:
    damage, message = DAMAGES[case]
    offsets = offsets_of(export.floats, export.cells)
    damage(offsets)
    file = write_offsets(tmp_path / "offsets.safetensors", offsets, export.path)
    with pytest.raises(CheckpointError, match=message) as caught:
        export.convert(tmp_path / "out", file)
    assert str(file) in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"export_sha256": "0" * 64}, "belong to another export than the one given"),
        ({"weight": "step * q + d"}, "no offsets file, or of a form that this version does not"),
    ],
)
def test_other_metadata_are_refused(
    export: Export, tmp_path: Path, metadata: dict[str, str], message: str
) -> None:
    offsets = offsets_of(export.floats, export.cells)
    file = write_offsets(tmp_path / "offsets.safetensors", offsets, export.path, **metadata)
    with pytest.raises(CheckpointError, match=message):
        export.convert(tmp_path / "out", file)


def test_files_that_are_no_offsets(export: Export, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"absent\.safetensors"):
        export.convert(tmp_path / "out", tmp_path / "absent.safetensors")
    with pytest.raises(CheckpointError, match=r"vocab\.txt"):
        export.convert(tmp_path / "out", export.vocab)
    floats = (
        load_folder(
            export.convert(
                tmp_path / "floats",
                write_offsets(
                    tmp_path / "o.safetensors", offsets_of(export.floats, export.cells), export.path
                ),
            )
        )
        .weight_files[0]
        .path
    )
    with pytest.raises(CheckpointError, match="weight is None"):
        export.convert(tmp_path / "out", floats)


def test_the_official_exports_offsets(shared_model: Path, tmp_path: Path) -> None:
    """All 17 million weights: the committed model, each within its cell of the export."""
    onnx_path, offsets = (
        shared_model / "model_quantized.onnx",
        shared_model / "restored.safetensors",
    )
    if file_sha256(offsets) != OFFSETS_SHA256:
        pytest.skip("the offsets at hand are not those whose result is known")
    out = convert_onnx(
        onnx_path,
        shared_model / "vocab.txt",
        tmp_path / "out",
        repo_id="TaylorAI/bge-micro-v2",
        revision="main",
        compute_type="float32",
        offsets_path=offsets,
    )
    tensors = load_folder(out).tensors
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + b"\0" + tensors[name].astype("<f4").tobytes())
    assert digest.hexdigest() == RESTORED_SHA256
    checked = 0
    for name, (integers, scale) in read_onnx(onnx_path).quantised.items():
        rounded = np.rint(tensors[name] / scale.astype(np.float64)[:, np.newaxis])
        assert np.array_equal(rounded, integers), name
        checked += rounded.size
    assert checked == 17_226_240
