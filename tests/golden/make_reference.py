"""Writes vectors.npz and activations.npz: what the bundled model makes of texts.jsonl in float64.

Run it as ``python tests/golden/make_reference.py``, after make_texts.py; it takes about a minute.
Another machine's linear algebra may round the last bits of the float64 values otherwise.
"""

from __future__ import annotations

import hashlib
import json
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
from make_texts import BUNDLE, FOLDER, load_tokenizer, truncated_ids
from safetensors.numpy import load_file

sys.path.insert(0, str(FOLDER.parent))
from reference import encode

# Texts whose activations are kept: the shortest ones, both sides of 16 tokens, two scripts.
ACTIVATION_COUNTS = (2, 3, 9, 16, 17, 33)


def main() -> None:
    """Encode all texts and write both files."""
    weights = BUNDLE / "model.safetensors"
    tensors = load_file(weights)
    facts = json.loads((BUNDLE / "config.json").read_text("utf-8"))
    config = SimpleNamespace(
        layers=facts["num_hidden_layers"],
        heads=facts["num_attention_heads"],
        layer_norm_eps=facts["layer_norm_eps"],
    )
    tokenizer = load_tokenizer(BUNDLE)
    lines = (FOLDER / "texts.jsonl").read_bytes().split(b"\n")[:-1]
    ids = [truncated_ids(tokenizer, json.loads(line)) for line in lines]
    encoded = [encode(tensors, text_ids, config) for text_ids in ids]

    np.savez(
        FOLDER / "vectors.npz",
        vectors=np.stack([text.vector for text in encoded]),
        token_counts=np.array([len(text_ids) for text_ids in ids], np.int32),
        weights_sha256=np.array(hashlib.sha256(weights.read_bytes()).hexdigest()),
        texts_sha256=np.array(hashlib.sha256(b"\n".join([*lines, b""])).hexdigest()),
    )
    # The texts of each length begin the file, one by one from 2 tokens on.
    arrays: dict[str, Any] = {}
    for row in (tokens - 2 for tokens in ACTIVATION_COUNTS):
        arrays[f"ids_{row}"] = np.array(ids[row], np.int32)
        arrays[f"activations_{row}"] = np.stack(encoded[row].activations).astype(np.float32)
    np.savez(FOLDER / "activations.npz", **arrays)


if __name__ == "__main__":
    main()
