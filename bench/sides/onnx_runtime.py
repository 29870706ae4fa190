"""ONNX Runtime: the official int8 file, and float32 with the graph its optimiser fuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.files import HEADS, HIDDEN, ModelFiles
from bench.sides.base import Ids, PaddedSide, Side, Vectors, as_float32, load_tokenizer, versions


def load(files: ModelFiles, threads: int, compute_type: str) -> Side:
    """Open a session with `threads` threads."""
    import onnxruntime

    path = files.official if compute_type == "int8" else _fused_float_onnx(files)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def last_hidden_state(ids: Ids, mask: Ids) -> Vectors:
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return as_float32(session.run(None, inputs)[0])

    return PaddedSide(versions("onnxruntime"), load_tokenizer(files), last_hidden_state)


def _fused_float_onnx(files: ModelFiles) -> Path:
    def make(out: Path) -> None:
        from onnxruntime.transformers import optimizer

        graph = optimizer.optimize_model(
            str(files.float_onnx()), model_type="bert", num_heads=HEADS, hidden_size=HIDDEN
        )
        fused = graph.get_fused_operator_statistics()
        if not fused["Attention"]:
            raise RuntimeError(f"the optimiser found no attention to fuse: {fused}")
        graph.save_model_to_file(str(out))

    return files.make("model_float32_fused.onnx", make)
