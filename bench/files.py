"""The same weights in the form that each side reads, made once and kept in a folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HEADS, HIDDEN = 12, 384


@dataclass(frozen=True)
class ModelFiles:
    """The paths of the model's forms.

    Attributes:
        official: The hub's onnx/model_quantized.onnx.
        folder: The folder in which the forms made from it are kept between runs.
    """

    official: Path
    folder: Path

    def float_folder(self) -> Path:
        """Return the model as a folder that transformers and sentence-transformers read."""

        def make(out: Path) -> None:
            from bge_micro.convert import convert_folder

            convert_folder(_bundled_folder(), out, compute_type="float32")

        return self.make("float32_folder", make)

    def float_onnx(self) -> Path:
        """Return the export converted to float32."""

        def make(out: Path) -> None:
            from bench.float_onnx import write_float_onnx

            write_float_onnx(self.official, out)

        return self.make("model_float32.onnx", make)

    def make(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return the file or folder of this name, made first if it is not there yet."""
        path = self.folder / name
        if not path.exists():
            # Under another name until complete. The suffix stays, because some writers read it.
            unfinished = path.with_name(f"unfinished_{name}")
            if unfinished.is_dir():
                shutil.rmtree(unfinished)
            make(unfinished)
            unfinished.rename(path)
        return path


def _bundled_folder() -> Path:
    import bge_micro

    return Path(bge_micro.__file__).parent / "data" / "bge-micro-v2"
