"""The bundle against the restored float weights that it is made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bge_micro import SentenceTransformer
from bge_micro.convert import convert_onnx
from golden.make_digests import golden_texts
from official_export import FOLDER

OFFSETS = FOLDER / "restored.safetensors"


@pytest.mark.slow
@pytest.mark.skipif(not OFFSETS.is_file(), reason="the offsets are not at hand (../shared/model)")
def test_cosine_to_the_restored_weights(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")
    folder = convert_onnx(
        FOLDER / "model_quantized.onnx",
        FOLDER / "vocab.txt",
        tmp_path / "float",
        repo_id="TaylorAI/bge-micro-v2",
        revision="main",
        compute_type="float32",
        offsets_path=OFFSETS,
    )
    texts = golden_texts()
    options = {"normalize_embeddings": True}
    wanted = SentenceTransformer(folder, compute_type="float32").encode(texts, **options)
    for compute_type, mean, worst in (("int8", 0.9998, 0.9985), ("float32", 0.9999, 0.9985)):
        found = SentenceTransformer(compute_type=compute_type).encode(texts, **options)
        cosines = (found.astype(np.float64) * wanted).sum(axis=1)
        print(f"{compute_type}: {cosines.mean():.6f} on average, {cosines.min():.6f} at worst")
        assert cosines.mean() >= mean
        assert cosines.min() >= worst
