"""A reranker's classifier, and how its logits become scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bge_micro.checkpoint.dense import TORCH_ACTIVATIONS, Dense
from bge_micro.checkpoint.encoder_config import MAX_INNER, EncoderConfig
from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.families import Family
from bge_micro.checkpoint.json_file import read_json_object
from bge_micro.checkpoint.tensors import StoredTensor, check_floats
from bge_micro.choices import Activation


class Scores(NamedTuple):
    """What a reranker gives for a pair.

    Attributes:
        labels: The labels' names, one for each score.
        activation: What turns logits into scores; None if the files name one that is not known.
        activation_name: Its name in the files, or what it is without one.
    """

    labels: tuple[str, ...]
    activation: Activation | None
    activation_name: str


def read_head(
    stored: Mapping[str, StoredTensor], family: Family, config: EncoderConfig, where: str
) -> tuple[Dense, Dense]:
    """Read the two layers behind the encoder: of the first token, then the classifier.

    Args:
        stored: The tensors that are not the encoder's, by their own names.
        family: The model's family, which knows these names.
        config: The encoder's sizes.
        where: The weight files, for error messages.

    Raises:
        CheckpointError: The model has no classifier, or it has another shape or no finite values.
    """
    head = family.head
    return (
        _read_layer(stored, head.dense, (config.hidden, config.hidden), head.activation, where),
        _read_layer(stored, head.classifier, (None, config.hidden), "identity", where),
    )


def _read_layer(
    stored: Mapping[str, StoredTensor],
    name: str,
    shape: tuple[int | None, int],
    activation: Activation,
    where: str,
) -> Dense:
    for part in ("weight", "bias"):
        if f"{name}.{part}" not in stored:
            raise CheckpointError(
                f"{where}: tensor '{name}.{part}' is missing, so this is no reranker, which has a "
                "classifier after the encoder. Load models for vectors with SentenceTransformer."
            )
    weight = stored[f"{name}.weight"]
    out, width = shape
    if out is None:  # as many as there are labels
        out = weight.info.shape[0] if len(weight.info.shape) == 2 else 0
        if not 1 <= out <= MAX_INNER:
            raise CheckpointError(
                f"{weight}: shape is {list(weight.info.shape)}, expected [labels, {width}] with 1 "
                f"to {MAX_INNER} labels."
            )
    bias = stored[f"{name}.bias"]
    return Dense(
        check_floats(weight.file, weight.name, (out, width)),
        check_floats(bias.file, bias.name, (out,)),
        activation,
        weight.file.content,
    )


def read_scores(folder: Path, transformer: Path, labels: int) -> Scores:
    """Read what the config files say about scores.

    Args:
        folder: The model folder.
        transformer: The folder of config.json.
        labels: How many outputs the classifier has.

    Returns:
        The labels, and the activation: of the newest version of sentence-transformers that has
        written one, else the logistic function for one label and none for more.

    Raises:
        CheckpointError: A file is damaged, or names another number of labels.
    """
    path = transformer / "config.json"
    fields = read_json_object(path)
    settings = folder / "config_sentence_transformers.json"
    newer = read_json_object(settings) if settings.exists() else {}
    inner = fields.get("sentence_transformers")
    older = inner.get("activation_fn") if isinstance(inner, dict) else None
    named = (
        newer.get("activation_fn") or older or fields.get("sbert_ce_default_activation_function")
    )
    usual: Activation = "sigmoid" if labels == 1 else "identity"
    names = _label_names(fields, labels, path)
    if named is None:
        return Scores(names, usual, usual)
    known = TORCH_ACTIVATIONS.get(named) if isinstance(named, str) else None
    return Scores(names, known, str(named))


def _label_names(fields: dict[str, Any], labels: int, path: Path) -> tuple[str, ...]:
    names = fields.get("id2label")
    if names is None:
        return tuple(f"LABEL_{number}" for number in range(labels))
    expected = [str(number) for number in range(labels)]
    if not isinstance(names, dict) or sorted(names) != sorted(expected):
        raise CheckpointError(
            f"{path}: id2label is {names!r}, but the classifier has {labels} outputs; expected a "
            f"name for each of 0 to {labels - 1}."
        )
    return tuple(str(names[number]) for number in expected)
