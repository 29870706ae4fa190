"""OpenVINO: float32, and int8 by NNCF's post-training quantisation for transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.files import ModelFiles
from bench.sides.base import Ids, PaddedSide, Side, Vectors, as_float32, load_tokenizer, versions
from bench.texts import sentences

CALIBRATION_TEXTS = 300


def load(files: ModelFiles, threads: int, compute_type: str, precision: str) -> Side:
    """Compile the model.

    Args:
        files: The model.
        threads: The number of threads.
        compute_type: "int8" or "float32".
        precision: The inference precision hint, "f32" or "bf16", for what is not int8.
    """
    import openvino

    path = _int8_model(files) if compute_type == "int8" else files.float_onnx()
    core = openvino.Core()
    model = core.compile_model(
        core.read_model(path),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",  # one request at a time, all threads for it
            "INFERENCE_PRECISION_HINT": precision,
        },
    )
    request = model.create_infer_request()

    def last_hidden_state(ids: Ids, mask: Ids) -> Vectors:
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return as_float32(request.infer(inputs, share_inputs=True, share_outputs=True)[0])

    packages = versions("openvino", "nncf") if compute_type == "int8" else versions("openvino")
    return PaddedSide(packages, load_tokenizer(files), last_hidden_state)


def _int8_model(files: ModelFiles) -> Path:
    """Quantise, calibrated on sentences from the bench's texts."""
    folder = files.make("openvino_int8", lambda out: _quantize(files, out))
    return folder / "model.xml"


def _quantize(files: ModelFiles, out: Path) -> None:
    import nncf
    import openvino

    tokenizer = load_tokenizer(files)

    def inputs(text: str) -> dict[str, Ids]:
        ids = np.array([tokenizer.encode(text).ids])
        ones, zeros = np.ones_like(ids), np.zeros_like(ids)
        return {"input_ids": ids, "attention_mask": ones, "token_type_ids": zeros}

    quantized = nncf.quantize(
        openvino.Core().read_model(files.float_onnx()),
        nncf.Dataset(sentences(CALIBRATION_TEXTS), inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=CALIBRATION_TEXTS,
    )
    out.mkdir()
    openvino.save_model(quantized, out / "model.xml", compress_to_fp16=False)
