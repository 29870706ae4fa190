"""``bge-micro info --compare``: vectors of a file beside those that this model gives."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from heapq import nsmallest
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bge_micro import SentenceTransformer

_VECTOR = "embedding"
_UTF8_MARK = "\ufeff"
# Rows that are read and encoded together, to keep memory bounded.
_BLOCK_ROWS = 256
# Rows that are named, those that differ most.
_NAMED_ROWS = 5


class Compared(NamedTuple):
    """A row of the file: its line, from 1, its cosine to this model's vector, and its text."""

    line: int
    cosine: float
    text: str


def compare(path: str, model: SentenceTransformer, text_field: str) -> dict[str, Any]:
    """Compare the vectors of a file with those of a model.

    Args:
        path: JSON lines, each an object with a text and its vector as "embedding", as
            ``bge-micro embed --with-text`` writes them; "-" for standard input.
        model: The model; its default prompt is put before each text.
        text_field: The key of the texts.

    Returns:
        The number of rows, the mean and the least cosine, and the rows that differ most.

    Raises:
        OSError: The file cannot be read.
        ValueError: A line is not such an object, or there is none.
    """
    import numpy as np

    from bge_micro.progress import can_show, progress_bar

    name = "standard input" if path == "-" else path
    plan = model.plan(truncation="silent")
    count, total = 0, 0.0
    worst: list[Compared] = []
    show = sys.stderr.isatty() and path != "-" and can_show()
    with (
        nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb") as file,
        progress_bar(show, _lines(path) if show else 0) as advance,
    ):
        rows = _rows(file, name, text_field, plan.dimensions)
        while block := list(islice(rows, _BLOCK_ROWS)):
            ours = model.run([text for _, text, _ in block], plan).vectors
            cosines = _cosines(ours, np.array([vector for _, _, vector in block]))
            count += len(block)
            total += sum(cosines)
            worst += [
                Compared(line, cosine, text)
                for (line, text, _), cosine in zip(block, cosines, strict=True)
            ]
            worst = nsmallest(_NAMED_ROWS, worst, key=lambda row: row.cosine)
            advance(len(block))
    if not count:
        raise ValueError(f"{name}: holds no rows to compare; ten or more tell something.")
    return {
        "file": name,
        "rows": count,
        "mean_cosine": total / count,
        "worst_cosine": worst[0].cosine,
        "space_id": model.space_id,
        "differ_most": [row._asdict() for row in worst],
    }


def _lines(path: str) -> int:
    with Path(path).open("rb") as file:
        return sum(1 for _ in file)


def _cosines(ours: NDArray[Any], theirs: NDArray[np.float64]) -> list[float]:
    """Return the cosine of each pair of rows, in float64."""
    import numpy as np

    ours = ours.astype(np.float64)
    products = (ours * theirs).sum(axis=1)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines: list[float] = (products / lengths).tolist()
    return cosines


def _rows(
    file: IO[bytes], name: str, text_field: str, dimensions: int
) -> Iterator[tuple[int, str, NDArray[np.float64]]]:
    """Yield the number of each line that is not blank, its text and its vector."""
    for line, data in enumerate(file, 1):
        try:
            content = data.decode("utf-8").removeprefix(_UTF8_MARK if line == 1 else "")
            if content.strip():
                text, vector = _text_and_vector(content, text_field)
                yield line, text, _checked(vector, dimensions)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name}: line {line}: {error}.") from None


def _text_and_vector(content: str, text_field: str) -> tuple[str, Any]:
    row = json.loads(content)
    if not isinstance(row, dict):
        raise ValueError(
            f"holds {content.strip()[:40]!r}, expected an object with "
            f"{text_field!r} and {_VECTOR!r}"
        )
    for key in (text_field, _VECTOR):
        if key not in row:
            hint = "; name the key of the texts by --field" if key == text_field else ""
            held = ", ".join(map(repr, list(row)[:10])) or "nothing"
            raise ValueError(f"has no {key!r} (it holds {held}){hint}")
    if not isinstance(row[text_field], str):
        raise ValueError(f"{text_field!r} is {row[text_field]!r:.40}, expected a string")
    return row[text_field], row[_VECTOR]


def _checked(vector: Any, dimensions: int) -> NDArray[np.float64]:
    """Return a vector of `dimensions` finite numbers that are not all zero, or refuse it."""
    import numpy as np

    numbers = isinstance(vector, list) and all(type(value) in (int, float) for value in vector)
    if not numbers:
        raise ValueError(f"{_VECTOR!r} is {vector!r:.40}, expected a list of numbers")
    if len(vector) != dimensions:
        raise ValueError(
            f"the vector has {len(vector)} numbers, expected {dimensions}, which this model gives"
        )
    try:
        values = np.array(vector, np.float64)
        with np.errstate(over="ignore"):
            length = float(np.linalg.norm(values))
    except OverflowError:  # an integer of hundreds of digits
        length = float("inf")
    if not 0 < length < float("inf"):
        raise ValueError("the vector holds NaN, infinity or only zeros, so it has no direction")
    return values
