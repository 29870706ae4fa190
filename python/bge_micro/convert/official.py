"""The official 8-bit export: where it came from, its checksums and its license."""

from __future__ import annotations

from pathlib import Path

from bge_micro.checkpoint.bundled import BUNDLED_REPO_ID
from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.side_file import file_sha256
from bge_micro.convert.bare_files import convert_onnx
from bge_micro.convert.folder_writer import License

REVISION = "3edf6d7de0faa426b09780416fe61009f26ae589"
ONNX_FILE = "onnx/model_quantized.onnx"
ONNX_SHA256 = "ed65e36025aa94cb74207dab863c85452919ec0ab7df3512092932aa22c9a33a"
VOCAB_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
# Of the offsets to it that the bundled model is made of: see bge_micro.convert.offsets.
OFFSETS_SHA256 = "d1257998237fdb8d9c3738990ca6ac61a57d99ce8e96e4b4508c8af034669579"

_COPYRIGHT = "Copyright (c) 2023 Benjamin Anderson"

LICENSE = License(
    summary=f"MIT, {_COPYRIGHT}",
    text=f"""\
MIT License

{_COPYRIGHT}

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
""",
)


def convert_official(onnx_path: str | Path, vocab_path: str | Path, out_folder: str | Path) -> Path:
    """Convert the official export as it is, bit by bit; the same bytes every time.

    Args:
        onnx_path: TaylorAI/bge-micro-v2's onnx/model_quantized.onnx at the pinned revision.
        vocab_path: The same repository's vocab.txt.
        out_folder: Where to; must not exist, or be an empty folder.

    Returns:
        The folder.

    Raises:
        ImportError: The onnx package is not installed.
        CheckpointError: A file is not the pinned one.
        FileExistsError: There is something at `out_folder` already.
    """
    for path, expected in ((onnx_path, ONNX_SHA256), (vocab_path, VOCAB_SHA256)):
        found = file_sha256(Path(path))
        if found != expected:
            raise CheckpointError(
                f"{path}: sha256 is {found}, expected {expected}; "
                f"take the file from {BUNDLED_REPO_ID} at revision {REVISION}."
            )
    return convert_onnx(
        onnx_path,
        vocab_path,
        out_folder,
        repo_id=BUNDLED_REPO_ID,
        revision=REVISION,
        repo_file=ONNX_FILE,
        license=LICENSE,
    )
