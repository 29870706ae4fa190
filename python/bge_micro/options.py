"""Options of sentence-transformers that have no meaning here: refused, never swallowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Constructor keyword -> why it cannot be obeyed.
_REFUSED_AT_LOAD = {
    "modules": "a model is a folder or a name here, not a list of torch modules",
    "trust_remote_code": "code from a model repository is never run",
    "model_kwargs": "there is no torch model to pass them to; see compute_type",
    "processor_kwargs": "the tokenizer is the one in the model folder",
    "tokenizer_kwargs": "the tokenizer is the one in the model folder",
    "config_kwargs": "the configuration is the one in the model folder",
    "model_card_data": "model cards are not written",
    "backend": "there is one backend, the C++ core of this package",
}

# encode keyword -> why.
_REFUSED_AT_ENCODE = {
    "pool": "threads share the work inside one process; use threads=",
    "chunk_size": "it belongs to multi-process pools; use threads=",
}


def refuse_at_load(options: Mapping[str, Any]) -> None:
    """Raise for constructor keywords that cannot be obeyed or are unknown.

    Values that ask for nothing (None, False, {}) pass.

    Raises:
        TypeError: A keyword is unknown.
        ValueError: A known one asks for something.
    """
    for name, value in options.items():
        if name not in _REFUSED_AT_LOAD:
            raise TypeError(f"SentenceTransformer got an unknown keyword argument {name!r}.")
        if value:
            raise ValueError(f"{name}={value!r} is not supported: {_REFUSED_AT_LOAD[name]}.")


def refuse_at_encode(options: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise for encode's keywords that cannot be obeyed or are unknown.

    Raises:
        ValueError: For either, as sentence-transformers does.
    """
    for name, value in options.items():
        if name not in _REFUSED_AT_ENCODE:
            raise ValueError(
                f"encode got an unknown keyword argument {name!r}; known ones are "
                f"{', '.join(known)}."
            )
        if value is not None:
            raise ValueError(f"{name}={value!r} is not supported: {_REFUSED_AT_ENCODE[name]}.")


def check_device(device: Any) -> None:
    """Accept None and the CPU; ValueError for any other device or list of devices."""
    if device is None or str(device) in ("cpu", "cpu:0"):
        return
    hint = " For more processes at once use threads=." if isinstance(device, (list, tuple)) else ""
    raise ValueError(f"device is {device!r}, but this package runs on the CPU only.{hint}")


def check_prompt(name: str, value: Any) -> str:
    """Return `value` if it is a string; TypeError that speaks of `name` otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, expected a string.")
    return value


def check_positive(name: str, value: Any) -> int:
    """Return `value` if it is a positive integer.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is not positive.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is {value!r}, expected a positive integer.")
    number = int(value)
    if number <= 0:
        raise ValueError(f"{name} is {number}, expected a positive integer.")
    return number
