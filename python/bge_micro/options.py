"""Options of sentence-transformers that have no meaning here: refused, never swallowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# Constructor keyword -> why it cannot be obeyed.
_REFUSED_AT_LOAD = {
    "modules": "a model is a folder or a name here, not a list of torch modules",
    "trust_remote_code": "code from a model repository is never run",
    "model_kwargs": "there is no torch model to pass them to; only file_name is obeyed, and "
    "compute_type chooses the precision",
    "processor_kwargs": "the tokenizer is the one in the model folder",
    "tokenizer_kwargs": "the tokenizer is the one in the model folder",
    "config_kwargs": "the configuration is the one in the model folder",
    "model_card_data": "model cards are not written",
    "backend": "there is one backend, the C++ core of this package; an ONNX export is chosen by "
    "file_name",
}

# encode keyword -> why.
_REFUSED_AT_ENCODE = {
    "pool": "threads share the work inside one process; use threads=",
    "chunk_size": "it belongs to multi-process pools; use threads=",
    "prompt": "rerankers have no prompts here; put the text before the query",
    "prompt_name": "rerankers have no prompts here; put the text before the query",
}


class UnknownOptionError(TypeError, ValueError):
    """A keyword that there is not: a TypeError as Python's, a ValueError as everywhere here."""


def refuse_unknown(
    name_of_call: str, call: Any, options: Iterable[str], further: Iterable[str] = ()
) -> None:
    """Raise an UnknownOptionError for the first keyword that is not known.

    Args:
        name_of_call: What people call it.
        call: A method; the keywords that it has are known.
        options: The names that were given.
        further: More that are known.
    """
    code = call.__code__  # without `inspect`, whose import takes longer than a first vector
    known = (*code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount], *further)
    for name in options:
        if name not in known:
            from difflib import get_close_matches  # only when it has gone wrong

            close = get_close_matches(name, known, 1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known ones are {', '.join(known)}."
            raise UnknownOptionError(
                f"{name_of_call} got an unknown keyword argument {name!r}; {hint}"
            )


def refuse_at_load(constructor: Any, options: Mapping[str, Any]) -> None:
    """Raise for further constructor keywords, unless they ask for nothing (None, False, {}).

    backend="torch", the name of sentence-transformers' default, asks for nothing too, and what
    `export_name` takes has been obeyed.

    Raises:
        UnknownOptionError: There is no such keyword.
        ValueError: It asks for what cannot be had.
    """
    name_of_class = constructor.__qualname__.partition(".")[0]
    refuse_unknown(name_of_class, constructor, options, _REFUSED_AT_LOAD)
    named = _named_export(options) is not None
    accepted = [("backend", "torch")]
    if named:
        accepted += [("backend", "onnx"), ("model_kwargs", options["model_kwargs"])]
    for name, value in options.items():
        if value and (name, value) not in accepted:
            raise ValueError(f"{name}={value!r} is not supported: {_REFUSED_AT_LOAD[name]}.")


def export_name(file_name: str | None, options: Mapping[str, Any]) -> str | None:
    """Return the ONNX export to load, which sentence-transformers names in model_kwargs.

    Args:
        file_name: The constructor's own keyword; None if it was not given.
        options: Further keywords.

    Raises:
        ValueError: Both name an export, and not the same.
    """
    named = _named_export(options)
    if None not in (named, file_name) and named != file_name:
        raise ValueError(f"file_name is {file_name!r}, but in model_kwargs it is {named!r}.")
    return file_name if named is None else named


def _named_export(options: Mapping[str, Any]) -> str | None:
    """Return the file_name of model_kwargs if there is nothing else in them."""
    given = options.get("model_kwargs")
    if not isinstance(given, Mapping) or given.keys() != {"file_name"}:
        return None
    named = given["file_name"]
    return named if isinstance(named, str) else None


def refuse_at_encode(options: Mapping[str, Any]) -> None:
    """Raise a ValueError for encode's keywords that ask for what cannot be had."""
    for name, value in options.items():
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
