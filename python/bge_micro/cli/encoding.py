"""From the options to a model, and from blocks of rows to their vectors."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bge_micro.cli.texts import Row, TextInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bge_micro import SentenceTransformer

# Lines named in a message about truncated texts.
_NAMED = 10


def load_model(arguments: argparse.Namespace) -> SentenceTransformer:
    """Load the model that the options of `parser.add_model_options` ask for."""
    from bge_micro import SentenceTransformer

    options: dict[str, Any] = {
        "compute_type": arguments.compute_type,
        "threads": arguments.threads,
        "default_prompt_name": arguments.prompt_name,
    }
    if arguments.prompt is not None:
        options |= {"prompts": {"--prompt": arguments.prompt}, "default_prompt_name": "--prompt"}
    if arguments.model is not None:
        options["model_name_or_path"] = arguments.model
    return SentenceTransformer(**options)


def encode_blocks(
    model: SentenceTransformer,
    texts: TextInput,
    arguments: argparse.Namespace,
    **options: Any,
) -> Iterator[tuple[list[Row], NDArray[Any]]]:
    """Yield blocks of rows with their vectors; afterwards say on stderr what was lost.

    Args:
        model: The model.
        texts: The rows.
        arguments: As made by the options of `parser.add_text_options`.
        **options: For `SentenceTransformer.encode`.

    Raises:
        ValueError: A row is bad, or too long, and is not to be tolerated.
    """
    truncated = 0
    places: list[int] = []
    for block in texts.blocks(arguments.batch_size):
        rows = [row.text for row in block]
        if arguments.truncation != "silent":
            found = model.count_tokens(rows).truncated.nonzero()[0].tolist()
            truncated += len(found)
            places += [block[row].place for row in found][: _NAMED - len(places)]
        if truncated and arguments.truncation == "error":
            raise ValueError(
                f"{_truncated(model, texts, truncated, places)}; split them, or let --truncation "
                "warn or silent use their beginnings."
            )
        yield block, model.encode(rows, truncation="silent", **options)
    if truncated:
        _warn(f"{_truncated(model, texts, truncated, places)}; only their beginnings were used.")
    if texts.bad:
        done = "skipped" if arguments.errors == "skip" else "replaced"
        _warn(f"{texts.name}: {texts.bad} bad rows were {done}.")


def _truncated(model: SentenceTransformer, texts: TextInput, count: int, places: list[int]) -> str:
    named = ", ".join(map(str, places)) + (", ..." if count > len(places) else "")
    return (
        f"{texts.name}: texts of more than {model.max_seq_length} tokens: {count} "
        f"({texts.unit} {named})"
    )


def _warn(message: str) -> None:
    print(f"bge-micro: warning: {message}", file=sys.stderr)
