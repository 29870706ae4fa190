"""A matrix of similarities as a picture."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bge_micro.atomic import atomic_file

# More texts than this could not be told apart; with more than the second, nor could their labels.
MOST_TEXTS = 2000
_MOST_LABELS = 60
_LABEL_LETTERS = 30


def check_plot(path: str) -> None:
    """See that a plot can be made, before any work is done.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: It cannot write such a file.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "--plot needs matplotlib: pip install 'bge-micro[plot]'", name=error.name
        ) from error
    kinds = Figure().canvas.get_supported_filetypes()
    if _kind(path) not in kinds:
        raise ValueError(f"{path}: expected a file ending in one of {', '.join(sorted(kinds))}.")


def write_heat_map(path: str, scores: NDArray[np.float32], texts: Sequence[str], name: str) -> None:
    """Draw a square matrix of similarities.

    Args:
        path: The picture to write.
        scores: (n, n), n at most MOST_TEXTS.
        texts: n texts, for labels where there is room.
        name: What the numbers are.
    """
    from matplotlib.figure import Figure  # without pyplot, which would look for a display

    side = float(np.clip(2.5 + 0.22 * len(texts), 4, 14))
    figure = Figure(figsize=(side + 1.5, side), dpi=150, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(scores, cmap="viridis", vmin=min(0.0, float(scores.min())))
    figure.colorbar(image, label=name, shrink=0.8)
    if len(texts) <= _MOST_LABELS:
        labels = [_label(text) for text in texts]
        axes.set_xticks(range(len(texts)), labels, rotation=90, parse_math=False)
        axes.set_yticks(range(len(texts)), labels, parse_math=False)
    with warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box; no warning is needed.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        with atomic_file(path) as file:
            figure.savefig(file, format=_kind(path))


def _kind(path: str) -> str:
    """Return matplotlib's name for the kind of picture that a file's ending says."""
    return Path(path).suffix.removeprefix(".").lower()


def _label(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    short = printable[:_LABEL_LETTERS]
    return short if short == printable else f"{short}..."
