"""Dense modules of sentence-transformers: linear layers after the pooling."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bge_micro.checkpoint.encoder_config import MAX_INNER
from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.file_content import FileContent
from bge_micro.checkpoint.json_file import read_json_object
from bge_micro.checkpoint.safetensors_file import TensorFile, open_tensors
from bge_micro.checkpoint.tensors import check_floats
from bge_micro.choices import Activation

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"

# By the class that config files name.
TORCH_ACTIVATIONS: dict[str, Activation] = {
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.modules.activation.Tanh": "tanh",
    "torch.nn.modules.activation.ReLU": "relu",
    "torch.nn.modules.activation.GELU": "gelu",
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
}


class Dense(NamedTuple):
    """A linear layer after the pooling, always in float32.

    Attributes:
        weight: float32 [out, in].
        bias: float32 [out]; None for none.
        activation: What its outputs go through.
        file: The file of the weights as it was loaded.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    activation: Activation
    file: FileContent

    @property
    def out_features(self) -> int:
        """The length of its vectors."""
        return int(self.weight.shape[0])

    def config(self) -> dict[str, object]:
        """Return the fields of the module's config.json."""
        names = {name: path for path, name in TORCH_ACTIVATIONS.items()}
        return {
            "in_features": self.weight.shape[1],
            "out_features": self.weight.shape[0],
            "bias": self.bias is not None,
            "activation_function": names[self.activation],
        }

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return the tensors by the names that the module's file has for them."""
        bias = {} if self.bias is None else {"linear.bias": self.bias}
        return {"linear.weight": self.weight, **bias}


def read_dense(folder: Path, in_features: int) -> Dense:
    """Read a Dense module.

    Args:
        folder: The module's folder.
        in_features: The length of the vectors that it gets.

    Raises:
        MissingFileError: Its config or weights are missing.
        CheckpointError: A file is damaged, or has a setting that is not supported.
    """
    path = folder / CONFIG_NAME
    fields = read_json_object(path)
    for key in ("module_input_name", "module_output_name"):
        if fields.get(key, "sentence_embedding") not in (None, "sentence_embedding"):
            raise CheckpointError(
                f"{path}: {key} is {fields[key]!r}, but only 'sentence_embedding' is supported."
            )
    name = fields.get("activation_function", "torch.nn.modules.activation.Tanh")
    if not isinstance(name, str) or name not in TORCH_ACTIVATIONS:
        raise CheckpointError(
            f"{path}: activation_function is {name!r}, but only "
            f"{', '.join(TORCH_ACTIVATIONS)} are supported."
        )
    if fields.get("in_features") != in_features:
        raise CheckpointError(
            f"{path}: in_features is {fields.get('in_features')!r}, but the module before gives "
            f"{in_features}."
        )
    out_features = fields.get("out_features")
    if type(out_features) is not int or not 1 <= out_features <= MAX_INNER:
        raise CheckpointError(
            f"{path}: out_features is {out_features!r}, expected a whole number from 1 to "
            f"{MAX_INNER}."
        )
    file = open_tensors(folder / WEIGHTS_NAME)
    weight = _read(file, "linear.weight", (out_features, in_features))
    bias = _read(file, "linear.bias", (out_features,)) if fields.get("bias", True) else None
    return Dense(weight, bias, TORCH_ACTIVATIONS[name], file.content)


def _read(file: TensorFile, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if name not in file:
        raise CheckpointError(f"{file.path}: tensor {name!r} is missing.")
    return check_floats(file, name, shape)
