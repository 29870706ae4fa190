"""Make model folders in our own format.

`make_bundle` makes the bundled model; `convert_onnx` and `convert_folder` convert others. ONNX
files need the extra ``bge-micro[convert]``.
"""

from bge_micro.convert.export import convert_folder, convert_onnx
from bge_micro.convert.folder_writer import License
from bge_micro.convert.official import make_bundle

__all__ = ["License", "convert_folder", "convert_onnx", "make_bundle"]
