"""Find, check and read model folders.

`locate_model` finds the folder of a name, or fetches it from the hub; `load_folder` reads a folder.
Only `hub` uses the network, and nothing is ever unpickled.
"""

from bge_micro.checkpoint.bundled import BUNDLED_NAME, BUNDLED_REPO_ID, bundled_folder
from bge_micro.checkpoint.config import EncoderConfig
from bge_micro.checkpoint.errors import CheckpointError, MissingFileError, ModelWarning
from bge_micro.checkpoint.folder import Checkpoint, load_folder
from bge_micro.checkpoint.locate import Location, absolute_name, locate_model
from bge_micro.checkpoint.safetensors_file import open_tensors
from bge_micro.checkpoint.tensors import Tensors

__all__ = [
    "BUNDLED_NAME",
    "BUNDLED_REPO_ID",
    "Checkpoint",
    "CheckpointError",
    "EncoderConfig",
    "Location",
    "MissingFileError",
    "ModelWarning",
    "Tensors",
    "absolute_name",
    "bundled_folder",
    "load_folder",
    "locate_model",
    "open_tensors",
]
