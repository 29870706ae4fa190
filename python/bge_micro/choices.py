"""The choices of options, each list once, for type checkers and for run time.

This module imports nothing heavy, so that the command line can show them without NumPy.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar, get_args

ComputeType = Literal["int8", "float32"]
Precision = Literal["float32", "int8", "uint8", "binary", "ubinary"]
Truncation = Literal["silent", "warn", "error"]
Errors = Literal["strict", "replace", "skip"]
OutputValue = Literal["sentence_embedding", "token_embeddings"]
Pooling = Literal["mean", "cls", "max", "mean_sqrt_len_tokens"]
Activation = Literal["identity", "tanh", "relu", "gelu", "sigmoid"]
# What a model gives: vectors of texts, or scores of pairs of them.
Task = Literal["vectors", "scores"]
SimilarityFunction = Literal["cosine", "dot", "euclidean", "manhattan"]
FileFormat = Literal["npy", "npz", "jsonl", "parquet", "safetensors"]

COMPUTE_TYPES: tuple[ComputeType, ...] = get_args(ComputeType)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
TRUNCATIONS: tuple[Truncation, ...] = get_args(Truncation)
ERRORS: tuple[Errors, ...] = get_args(Errors)
OUTPUT_VALUES: tuple[OutputValue | None, ...] = (*get_args(OutputValue), None)
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
SIMILARITY_FUNCTIONS: tuple[SimilarityFunction, ...] = get_args(SimilarityFunction)
FILE_FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)

_Choice = TypeVar("_Choice")


def check_choice(name: str, value: Any, choices: tuple[_Choice, ...]) -> _Choice:
    """Return `value` if it is one of `choices`; a ValueError that lists them otherwise."""
    try:
        return choices[choices.index(value)]
    except ValueError:
        named = ", ".join(map(str, choices))
        raise ValueError(f"{name} is {value!r}, expected one of {named}.") from None
