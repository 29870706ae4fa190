"""From the options to a model, and from blocks of rows to their vectors."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bge_micro.cli.messages import warn
from bge_micro.cli.texts import Row, TextInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bge_micro import CrossEncoder, SentenceTransformer
    from bge_micro.choices import Truncation
    from bge_micro.search.known import KnownVectors

# Lines named in a message about truncated texts.
_NAMED = 10


def load_model(arguments: argparse.Namespace) -> SentenceTransformer:
    """Load the model that the options of `parser.add_model_options` ask for."""
    from bge_micro import SentenceTransformer

    options: dict[str, Any] = {
        "compute_type": arguments.compute_type,
        "threads": arguments.threads,
    }
    if "prompt" in arguments:  # `search` has two prompts instead
        options["default_prompt_name"] = arguments.prompt_name
        if arguments.prompt is not None:
            options["prompts"] = {"--prompt": arguments.prompt}
            options["default_prompt_name"] = "--prompt"
    if arguments.model is not None:
        options["model_name_or_path"] = arguments.model
    return SentenceTransformer(**options)


def load_reranker(
    arguments: argparse.Namespace,
    name: str,
    threads: int | None = None,
    truncation: Truncation = "silent",
) -> CrossEncoder:
    """Load the reranker of a name or folder, with the options of `parser.add_model_options`.

    Raises:
        ValueError: It is a classifier, which has no order of texts.
    """
    from bge_micro import CrossEncoder

    model = CrossEncoder(
        name,
        compute_type=arguments.compute_type,
        threads=threads or arguments.threads,
        truncation=truncation,
    )
    if model.num_labels != 1:
        raise ValueError(
            f"{name} has {model.num_labels} labels, expected 1: it is a classifier, which has no "
            "order of texts"
        )
    return model


def prompt_of(
    model: SentenceTransformer, prompt: str | None, name: str | None, otherwise: str
) -> str:
    """Return the prompt that options ask for, by its text or its name; if none does, another one.

    Raises:
        ValueError: The model has no prompt of this name.
    """
    if prompt is None and name is None:
        return otherwise
    return model.plan(prompt_name=name, prompt=prompt).prompt


@dataclass
class Truncated:
    """Texts that were too long: how many, and the places of the first."""

    count: int = 0
    places: list[int] = field(default_factory=list)


def encode_blocks(
    model: SentenceTransformer,
    texts: TextInput,
    arguments: argparse.Namespace,
    *,
    blocks: Iterable[list[Row]] | None = None,
    truncated: Truncated | None = None,
    known: KnownVectors | None = None,
    **options: Any,
) -> Iterator[tuple[list[Row], NDArray[Any]]]:
    """Yield blocks of rows with their vectors; afterwards report truncated texts on stderr.

    Args:
        model: The model.
        texts: The rows.
        arguments: As made by the options of `parser.add_text_options`.
        blocks: The blocks of `texts` that are to be encoded; None for all.
        truncated: Counts texts that are too long; a resumed run goes on with its counts.
        known: Vectors of the same space and prompt that need not be made again.
        **options: For `SentenceTransformer.plan`.

    Raises:
        ValueError: A row is bad or too long, and the options say that this is an error.
    """
    plan = model.plan(truncation="silent", **options)
    found = truncated or Truncated()
    for block in texts.blocks(arguments.batch_size) if blocks is None else blocks:
        vectors = [known.find(row.text) if known else None for row in block]
        new = [row for row, vector in zip(block, vectors, strict=True) if vector is None]
        encoded = model.run([row.text for row in new], plan)
        if arguments.truncation != "silent":
            long = encoded.truncated.nonzero()[0].tolist()
            found.count += len(long)
            found.places += [new[row].place for row in long][: _NAMED - len(found.places)]
        if found.count and arguments.truncation == "error":
            raise ValueError(
                f"{_describe(model, texts, found)}; split them, or let --truncation warn or silent "
                "use their beginnings."
            )
        yield (
            block,
            encoded.vectors if len(new) == len(block) else _merged(vectors, encoded.vectors),
        )
    if found.count:
        warn(f"{_describe(model, texts, found)}; only their beginnings were used.")
    if texts.bad:
        done = "skipped" if arguments.errors == "skip" else "replaced"
        warn(f"{texts.name}: {texts.bad} bad rows were {done}.")


def _merged(vectors: list[NDArray[Any] | None], new: NDArray[Any]) -> NDArray[Any]:
    """Return vectors (rows, columns), those that are missing from the new ones in order."""
    import numpy as np

    rest = iter(new)
    return np.stack([next(rest) if vector is None else vector for vector in vectors])


def _describe(model: SentenceTransformer, texts: TextInput, found: Truncated) -> str:
    named = ", ".join(map(str, found.places)) + (", ..." if found.count > len(found.places) else "")
    return (
        f"{texts.name}: texts of more than {model.max_seq_length} tokens: {found.count} "
        f"({texts.unit} {named})"
    )


def show_progress(
    texts: TextInput, *, to_terminal: bool
) -> AbstractContextManager[Callable[[int], object]]:
    """Show a bar on a terminal, unless the texts came as arguments.

    Args:
        texts: The rows that are encoded.
        to_terminal: Whether results are written to the terminal meanwhile, which a bar would spoil.
    """
    from bge_micro.progress import can_show, progress_bar

    show = sys.stderr.isatty() and not to_terminal and texts.unit != "argument" and can_show()
    return progress_bar(show, texts.total)
