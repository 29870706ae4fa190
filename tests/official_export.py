"""The official 8-bit export, 17 MB, which stays outside the repository, and a stand-in for it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from api.tiny_model import CONFIG, VOCAB, tiny_tensors
from bge_micro.convert import convert_official, convert_onnx

FOLDER = Path(__file__).resolve().parents[2] / "shared/model"
FILES = ("model_quantized.onnx", "vocab.txt")

KINDS = ("stand-in", "official")


def official_export() -> Path:
    """Return the folder with the export and its vocabulary, or skip the test."""
    if not all((FOLDER / name).is_file() for name in FILES):
        pytest.skip(
            "needs the official export: put onnx/model_quantized.onnx and vocab.txt from "
            "https://huggingface.co/TaylorAI/bge-micro-v2 into the folder ../shared/model"
        )
    return FOLDER


class Export(NamedTuple):
    """An export.

    Attributes:
        file: The ONNX file.
        folder: What `convert` makes of it in int8.
        texts: Some texts of words that it knows.
    """

    file: Path
    folder: Path
    texts: list[str]


def make_export(kind: str, folder: Path) -> Export:
    """Make the stand-in, which is a small random model, or convert the official export.

    Skips the test where the official export is asked for and not at hand; the stand-in is there
    everywhere.
    """
    out = folder / "folder"
    if kind == "official":
        file = official_export() / "model_quantized.onnx"
        convert_official(file, FOLDER / "vocab.txt", out)
        texts = ["The export, bit by bit.", "", "Two people read a map. " * 12, "été 9 日本"]
        return Export(file, out, texts)
    from quantised_export import write_quantised_export  # needs onnx

    file, vocab = folder / "model.onnx", folder / "vocab.txt"
    vocab.write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    write_quantised_export(file, tiny_tensors(), CONFIG)
    convert_onnx(file, vocab, out, repo_id="org/tiny", revision="main")
    return Export(file, out, ["a b c d", "e f, g. h", "", "abcb dcb . a b c d e f g h"])
