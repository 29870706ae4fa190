"""Make model folders: in our own format, or for other programs.

`convert_official` converts the official export bit by bit; `convert_onnx`, `convert_gguf` and
`convert_folder` convert others; `save_folder` and `export_onnx` write what other programs read.
ONNX files need the extra ``bge-micro[convert]``, GGUF files ``bge-micro[gguf]``.
"""

from bge_micro.convert.bare_files import convert_gguf, convert_onnx
from bge_micro.convert.convert import convert_folder
from bge_micro.convert.export import export_onnx, save_folder
from bge_micro.convert.folder_writer import License
from bge_micro.convert.official import convert_official

__all__ = [
    "License",
    "convert_folder",
    "convert_gguf",
    "convert_official",
    "convert_onnx",
    "export_onnx",
    "save_folder",
]
