"""The official export converted to float32 gives the vectors of float32 here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("bench", reason="the bench is part of a checkout only")
pytest.importorskip("onnx", reason="needs the extra bge-micro[convert]")

import onnx
from onnx.reference import ReferenceEvaluator

from bench.float_onnx import write_float_onnx
from bge_micro import SentenceTransformer
from official_export import KINDS, make_export


@pytest.mark.parametrize("kind", KINDS)
def test_same_vectors(kind: str, tmp_path: Path) -> None:
    export = make_export(kind, tmp_path)
    write_float_onnx(export.file, tmp_path / "float.onnx")
    model = onnx.load(str(tmp_path / "float.onnx"))
    kinds = {node.op_type for node in model.graph.node}
    assert not kinds & {"MatMulInteger", "DynamicQuantizeLinear", "DequantizeLinear"}
    ours = SentenceTransformer(export.folder, compute_type="float32", threads=1)
    text = export.texts[0]
    ids = np.array([ours.tokenizer.encode(text).ids])
    inputs = {"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0}
    tokens = ReferenceEvaluator(model).run(None, inputs)[0]
    np.testing.assert_allclose(tokens[0].mean(0), ours.encode(text), atol=2e-5)
