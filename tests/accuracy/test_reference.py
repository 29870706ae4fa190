"""The core against the float64 golden vectors and activations of the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bge_micro import SentenceTransformer, _core
from bge_micro.checkpoint import Checkpoint, bundled_folder, load_folder
from golden.make_digests import FOLDER, TEXTS, WEIGHTS, file_sha256, golden_texts
from invariance.core_model import CoreModel

Array = NDArray[Any]

# Lines of the texts whose activations are kept.
ACTIVATION_LINES = (0, 1, 7, 14, 15, 31)


@pytest.fixture(scope="module")
def reference() -> dict[str, Array]:
    """Return the golden vectors, which must belong to these weights and texts."""
    with np.load(FOLDER / "vectors.npz") as file:
        arrays = dict(file)
    assert str(arrays["weights_sha256"]) == file_sha256(WEIGHTS)
    assert str(arrays["texts_sha256"]) == file_sha256(TEXTS)
    assert len(arrays["vectors"]) >= 300
    return arrays


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """Return the bundled weights."""
    return load_folder(bundled_folder(), mmap=True)


def cosines(a: Array, b: Array) -> Array:
    """Return the cosine of each pair of rows."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    products: Array = (a * b).sum(axis=-1) / lengths
    return products


def test_token_counts(reference: dict[str, Array]) -> None:
    used = SentenceTransformer().count_tokens(golden_texts()).used
    assert used.tolist() == reference["token_counts"].tolist()


def test_float32_vectors(reference: dict[str, Array]) -> None:
    vectors = SentenceTransformer(compute_type="float32").encode(golden_texts()).astype(np.float64)
    wanted = reference["vectors"]
    errors = np.linalg.norm(vectors - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    similar = cosines(vectors, wanted)
    print(
        f"float32: relative error {errors.max():.2e}, 1 - cosine {1 - similar.min():.1e} at worst"
    )
    assert similar.min() >= 0.9999999
    assert errors.max() <= 1e-5


def test_int8_vectors(reference: dict[str, Array]) -> None:
    vectors = SentenceTransformer(compute_type="int8").encode(golden_texts()).astype(np.float64)
    similar = cosines(vectors, reference["vectors"])
    print(f"int8: cosine {similar.mean():.6f} on average, {similar.min():.5f} at worst")
    # The promise is 0.9995 and 0.995; the scheme gives 0.99980 and 0.99895.
    assert similar.mean() >= 0.9997
    assert similar.min() >= 0.998


@pytest.mark.parametrize("line", ACTIVATION_LINES)
def test_embeddings(checkpoint: Checkpoint, line: int) -> None:
    ids, activations = kept_activations(line)
    tensors = checkpoint.tensors
    embedded = _core.layers.embed(
        _core.instruction_sets()[-1][0],
        ids,
        tensors["embeddings.word_embeddings.weight"],
        tensors["embeddings.word_embeddings.scale"],
        tensors["embeddings.position_embeddings.weight"],
        tensors["embeddings.token_type_embeddings.weight"],
        tensors["embeddings.LayerNorm.weight"],
        tensors["embeddings.LayerNorm.bias"],
        checkpoint.config.layer_norm_eps,
    )
    assert relative_error(embedded, activations[0]) < 1e-6


@pytest.mark.parametrize("line", ACTIVATION_LINES)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_float32_activations(checkpoint: Checkpoint, layers: int, line: int) -> None:
    ids, activations = kept_activations(line)
    tokens = first_layers(checkpoint, layers, "float32", ids)
    assert relative_error(tokens, activations[layers]) < 2e-6


@pytest.mark.parametrize("line", ACTIVATION_LINES)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_int8_activations(checkpoint: Checkpoint, layers: int, line: int) -> None:
    ids, activations = kept_activations(line)
    tokens = first_layers(checkpoint, layers, "int8", ids)
    assert cosines(tokens, activations[layers]).min() > 0.995


def kept_activations(line: int) -> tuple[NDArray[np.int32], Array]:
    """Return a text's ids and its activations, (1 + layers, tokens, hidden)."""
    with np.load(FOLDER / "activations.npz") as file:
        return file[f"ids_{line}"], file[f"activations_{line}"].astype(np.float64)


def first_layers(
    checkpoint: Checkpoint, layers: int, compute_type: str, ids: NDArray[np.int32]
) -> Array:
    """Return what the first layers of the model make of a text: (tokens, hidden)."""
    config = checkpoint.config._replace(layers=layers)
    model = CoreModel(config, checkpoint.tensors, compute_type)
    return model.encode([ids])[0][1:].astype(np.float64)


def relative_error(actual: Array, wanted: Array) -> float:
    """Return the largest error of a token's row, in the 2-norm."""
    errors = np.linalg.norm(actual - wanted, axis=-1) / np.linalg.norm(wanted, axis=-1)
    return float(errors.max())
