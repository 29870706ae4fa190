"""The tensors of an encoder: their names and shapes, and reading them checked from stored ones.

Linear layers come in two forms. Float: ``.weight`` float32 [out, in]. Quantised: ``.weight`` int8
[out, in] in [-127, 127] with ``.weight_scale`` float32 [out], and optionally ``.input_factor``
float32 [in], by which the input is multiplied before it is quantised (the weights are stored
divided by it). Word embeddings are float32 [vocab, hidden], or int8 with a ``.scale``: one for all
words, or one a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint.encoder_config import EncoderConfig
from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.file_content import FileContent
from bge_micro.checkpoint.safetensors_file import TensorFile, TensorInfo

Tensors = Mapping[str, NDArray[Any]]

WORDS = "embeddings.word_embeddings"
DISTANCE_BIASES = "encoder.relative_attention_bias.weight"
TOKEN_TYPES = "embeddings.token_type_embeddings.weight"

# Checked this many values at a time, so that looking for NaN needs little memory.
_CHUNK = 2**20

_WIDENED_DTYPES = ("F16", "BF16")
_FLOAT_DTYPES = ("F32", *_WIDENED_DTYPES)


class Linear(NamedTuple):
    """Name and size of one linear layer."""

    name: str
    out_features: int
    in_features: int


class StoredTensor(NamedTuple):
    """A tensor in a file, with its name in the file."""

    file: TensorFile
    name: str

    @property
    def info(self) -> TensorInfo:
        """Its entry in the file's header."""
        return self.file.infos[self.name]

    @property
    def is_widened(self) -> bool:
        """Whether it is used as a copy in float32, not as the file has it."""
        return self.info.dtype in _WIDENED_DTYPES

    def __str__(self) -> str:
        """Name file and tensor, as error messages do."""
        return f"{self.file.path}, tensor {self.name!r}"


def layer_linears(config: EncoderConfig, layer: int) -> list[Linear]:
    """Return one layer's linear layers in the order in which they are computed."""
    prefix = f"encoder.layer.{layer}"
    hidden, intermediate = config.hidden, config.intermediate
    return [
        *(
            Linear(f"{prefix}.attention.self.{name}", hidden, hidden)
            for name in ("query", "key", "value")
        ),
        Linear(f"{prefix}.attention.output.dense", hidden, hidden),
        Linear(f"{prefix}.intermediate.dense", intermediate, hidden),
        Linear(f"{prefix}.output.dense", hidden, intermediate),
    ]


def all_linears(config: EncoderConfig) -> Iterator[Linear]:
    """Iterate over the linear layers of all layers."""
    for layer in range(config.layers):
        yield from layer_linears(config, layer)


def is_quantized(tensors: Tensors, config: EncoderConfig) -> bool:
    """Return whether the weights of every linear layer are int8."""
    return all(tensors[f"{linear.name}.weight"].dtype == np.int8 for linear in all_linears(config))


def read_tensors(stored: Mapping[str, StoredTensor], config: EncoderConfig, where: str) -> Tensors:
    """Check stored tensors against a config and return them as arrays.

    Shapes and dtypes are checked before any data are read. F16 and BF16 become float32.

    Args:
        stored: The tensors by their usual BERT name, without prefix.
        config: The sizes they must have.
        where: The files they are from, for error messages.

    Returns:
        Read-only arrays by name, sorted; float32 except for int8 weights.

    Raises:
        CheckpointError: A tensor is missing, is not known, has another shape or dtype, or contains
            NaN, infinity or a value that the format excludes.
    """
    shapes = _expected_shapes(stored, config)
    missing = sorted(shapes.keys() - stored.keys())
    if missing:
        raise CheckpointError(
            f"{where}: {listed(missing)} missing, though config.json asks for "
            f"{config.layers} layers; weights and config do not belong together, "
            "or the file is incomplete."
        )
    unknown = sorted(stored.keys() - shapes.keys())
    if unknown:
        raise CheckpointError(
            f"{where}: {listed(unknown)} not part of a BERT encoder of "
            f"{config.layers} layers; expected only the tensors that config.json implies."
        )
    for name, shape in shapes.items():
        _check_form(stored[name], name, shape)
    tensors = {name: _read(stored[name]) for name in sorted(shapes)}
    for name, array in tensors.items():
        _check_values(stored[name], name, array)
    _check_shared_factors(stored, tensors, config)
    return tensors


def check_arrays(arrays: Tensors, config: EncoderConfig, path: Path) -> Tensors:
    """Check arrays from a file of another format, as `read_tensors` does; return them."""
    file = _ArrayFile(path, arrays)
    stored = {name: StoredTensor(file, name) for name in arrays}
    return read_tensors(stored, config, str(path))


def zero_token_types(config: EncoderConfig) -> StoredTensor:
    """Return the token types of a family that has none: of zeros, which change nothing."""
    zeros = np.zeros((config.token_types, config.hidden), np.float32)
    return StoredTensor(_ArrayFile(Path("token types"), {TOKEN_TYPES: zeros}), TOKEN_TYPES)


def check_floats(file: TensorFile, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a tensor of a file in float32, checked for its shape, dtype and values."""
    tensor = StoredTensor(file, name)
    if tensor.info.dtype not in _FLOAT_DTYPES or tensor.info.shape != shape:
        raise CheckpointError(
            f"{tensor}: {tensor.info.dtype} of shape {list(tensor.info.shape)}, expected "
            f"{' or '.join(_FLOAT_DTYPES)} of shape {list(shape)}."
        )
    array = _read(tensor)
    _check_values(tensor, name, array)
    return array


class _ArrayFile(TensorFile):
    """Arrays in memory with the interface of a file's tensors."""

    def __init__(self, path: Path, arrays: Tensors) -> None:
        names = {"float32": "F32", "int8": "I8"}
        infos = {n: TensorInfo(names[a.dtype.name], a.shape, 0, 0) for n, a in arrays.items()}
        super().__init__(FileContent(path, memoryview(b""), None), infos, {}, memoryview(b""))
        self._arrays = arrays

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]


def _expected_shapes(
    stored: Mapping[str, StoredTensor], config: EncoderConfig
) -> dict[str, tuple[int, ...]]:
    hidden = config.hidden
    shapes: dict[str, tuple[int, ...]] = {
        f"{WORDS}.weight": (config.vocab, hidden),
        "embeddings.position_embeddings.weight": (config.positions, hidden),
        TOKEN_TYPES: (config.token_types, hidden),
    }
    if _is_int8(stored, f"{WORDS}.weight"):
        shapes[f"{WORDS}.scale"] = _scale_shape(stored, config)
    if config.distance_buckets:
        shapes[DISTANCE_BIASES] = (config.distance_buckets, config.heads)
    norms = ["embeddings.LayerNorm"]
    for layer in range(config.layers):
        norms += [f"encoder.layer.{layer}.{part}output.LayerNorm" for part in ("attention.", "")]
    for norm in norms:
        shapes[f"{norm}.weight"] = shapes[f"{norm}.bias"] = (hidden,)
    for linear in all_linears(config):
        shapes[f"{linear.name}.weight"] = (linear.out_features, linear.in_features)
        shapes[f"{linear.name}.bias"] = (linear.out_features,)
        if _is_int8(stored, f"{linear.name}.weight"):
            shapes[f"{linear.name}.weight_scale"] = (linear.out_features,)
            if f"{linear.name}.input_factor" in stored:
                shapes[f"{linear.name}.input_factor"] = (linear.in_features,)
    return shapes


def _scale_shape(stored: Mapping[str, StoredTensor], config: EncoderConfig) -> tuple[int, ...]:
    """Return the shape of the words' scale: one a word if so many are stored, else one."""
    name = f"{WORDS}.scale"
    a_word = name in stored and stored[name].info.shape == (config.vocab,)
    return (config.vocab,) if a_word else (1,)


def _is_int8(stored: Mapping[str, StoredTensor], name: str) -> bool:
    return name in stored and stored[name].info.dtype == "I8"


def _may_be_int8(name: str) -> bool:
    return name.endswith((".dense.weight", "query.weight", "key.weight", "value.weight")) or (
        name == f"{WORDS}.weight"
    )


def _check_form(tensor: StoredTensor, name: str, shape: tuple[int, ...]) -> None:
    allowed = (*_FLOAT_DTYPES, "I8") if _may_be_int8(name) else _FLOAT_DTYPES
    if tensor.info.dtype not in allowed:
        raise CheckpointError(
            f"{tensor}: dtype is {tensor.info.dtype}, expected {' or '.join(allowed)}."
        )
    if tensor.info.shape != shape:
        raise CheckpointError(
            f"{tensor}: shape is {list(tensor.info.shape)}, but config.json implies {list(shape)}."
        )


def _read(tensor: StoredTensor) -> NDArray[Any]:
    array = tensor.file[tensor.name]
    if tensor.info.dtype == "F16":
        array = array.astype(np.float32)
        array.flags.writeable = False
    return array


def _check_values(tensor: StoredTensor, name: str, array: NDArray[Any]) -> None:
    flat = array.reshape(-1)
    chunks = (flat[start : start + _CHUNK] for start in range(0, flat.size, _CHUNK))
    if array.dtype == np.int8:
        if name != f"{WORDS}.weight" and any(chunk.min() < -127 for chunk in chunks):
            raise CheckpointError(f"{tensor}: holds -128, expected values in [-127, 127].")
        return
    if not all(np.isfinite(chunk).all() for chunk in chunks):
        raise CheckpointError(
            f"{tensor}: holds NaN or infinity; such weights cannot give meaningful vectors."
        )
    if name.endswith(("scale", "input_factor")) and array.min() <= 0:
        raise CheckpointError(f"{tensor}: holds {array.min()}, expected values above zero.")


def _check_shared_factors(
    stored: Mapping[str, StoredTensor], tensors: Tensors, config: EncoderConfig
) -> None:
    """Query, key and value read one quantised input, so their input factors must be equal."""
    for layer in range(config.layers):
        names = [f"{linear.name}.input_factor" for linear in layer_linears(config, layer)[:3]]
        present = [name for name in names if name in tensors]
        if not present:
            continue
        if len(present) < 3 or any(
            not np.array_equal(tensors[name], tensors[names[0]]) for name in names[1:]
        ):
            raise CheckpointError(
                f"{stored[present[0]]}: the input factors of query, key and value in layer "
                f"{layer} differ, expected the same for all three."
            )


def listed(names: list[str], most: int = 5) -> str:
    """Name the first tensors: "tensors 'a', 'b' and 3 more are"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    plural, verb = ("s", "are") if len(names) > 1 else ("", "is")
    return f"tensor{plural} {', '.join(map(repr, names[:most]))}{more} {verb}"
