"""Make the bundled model of the official export and the offsets; the same bytes on every CPU.

    python -m scripts.bundle FOLDER OUT

FOLDER holds model_quantized.onnx, vocab.txt and restored.safetensors. The float weights that the
offsets give are quantised as `convert --calibrate` does, by the texts of this folder, and words are
put into 8 bits with a scale each. docs/accuracy.md has the figures behind the settings.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bge_micro.checkpoint import load_folder
from bge_micro.checkpoint.bundled import BUNDLED_REPO_ID
from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.side_file import file_sha256
from bge_micro.checkpoint.tensors import WORDS
from bge_micro.convert import convert_onnx
from bge_micro.convert.convert import contents_of
from bge_micro.convert.folder_writer import write_folder
from bge_micro.convert.official import (
    LICENSE,
    OFFSETS_SHA256,
    ONNX_FILE,
    ONNX_SHA256,
    REVISION,
    VOCAB_SHA256,
)
from bge_micro.quantize import Rounding, quantize_checkpoint, quantize_rows
from bge_micro.tokenization import Tokenizer
from scripts.bundle.texts import calibration_texts

# Half again as many tokens as `convert` takes, so less damping; and integers that AVX2 adds up in
# pairs. On the golden texts either way of damping costs under 1e-5 of cosine, the bound 1e-5.
ROUNDING = Rounding(damping=0.1, most_rms=30.0)

README = f"""\
# bge-micro-v2, restored from its official 8-bit export

An estimate of the float weights of {BUNDLED_REPO_ID}, not those weights themselves: offsets,
fitted to public vectors of the original, say where in its cell of the official 8-bit export each
weight lay. For English texts the cosine to the original's vectors is 0.996 (the export's: 0.967).

`model.safetensors` has them in 8 bits: linear layers with a scale per output channel and a factor
per input feature, words with a scale each, all else in floats. `bge_micro.json` has the checksums
of the export and of the offsets.

License of the weights: {LICENSE.summary}.
"""


def make(source: Path, out: Path) -> Path:
    """Make the folder; return it.

    Raises:
        CheckpointError: A file is not the pinned one.
    """
    onnx, vocab = source / "model_quantized.onnx", source / "vocab.txt"
    offsets = source / "restored.safetensors"
    for path, expected in (
        (onnx, ONNX_SHA256),
        (vocab, VOCAB_SHA256),
        (offsets, OFFSETS_SHA256),
    ):
        if (found := file_sha256(path)) != expected:
            raise CheckpointError(f"{path}: sha256 is {found}, expected {expected}.")
    with TemporaryDirectory() as folder:
        floats = convert_onnx(
            onnx,
            vocab,
            Path(folder) / "float",
            repo_id=BUNDLED_REPO_ID,
            revision=REVISION,
            repo_file=ONNX_FILE,
            license=LICENSE,
            compute_type="float32",
            offsets_path=offsets,
        )
        checkpoint = load_folder(floats)
        assert checkpoint.side_file is not None
        tokenizer = Tokenizer.from_file(checkpoint.tokenizer_file)
        lines = vocab.read_text("utf-8").splitlines()
        words = [word for word in lines if word.isascii() and word.isalpha()]
        batch = tokenizer.ragged(calibration_texts(words), checkpoint.max_seq_length)
        tensors = dict(
            quantize_checkpoint(checkpoint.tensors, checkpoint.config, batch, rounding=ROUNDING)
        )
        name = f"{WORDS}.weight"
        tensors[name], tensors[f"{WORDS}.scale"] = quantize_rows(tensors[name])
        contents = contents_of(checkpoint, checkpoint.side_file.source)
        return write_folder(out, replace(contents, tensors=tensors, readme=README))


if __name__ == "__main__":
    print(f"{make(Path(sys.argv[1]), Path(sys.argv[2]))}: written")
