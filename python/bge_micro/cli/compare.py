"""``bge-micro info --compare``: a model's vectors against those of another program or model."""

from __future__ import annotations

import argparse
import heapq
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any

from bge_micro.cli.encoding import encode_blocks, load_model, show_progress
from bge_micro.cli.fields import FoundRow, no_such_name
from bge_micro.cli.lines import count_lines, json_type, text_rows
from bge_micro.cli.parser import UsageError, add_model_options
from bge_micro.cli.similarity import shown
from bge_micro.cli.texts import TextInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bge_micro import SentenceTransformer

# Texts that are named, because they differ most.
_NAMED = 5

# How rows are read and encoded: in so many at a time, and the first bad one ends the command.
_READING = {"batch_size": 1024, "errors": "strict", "truncation": "warn"}

# What the options below are where nobody gives them.
_NOT_GIVEN = {
    "field": None,
    "vector_field": None,
    "model": None,
    "compute_type": "int8",
    "threads": None,
    "prompt": None,
    "prompt_name": None,
}


@dataclass(frozen=True)
class Difference:
    """A text, its line in the file from 1, and the cosine of its two vectors."""

    line: int
    cosine: float
    text: str


@dataclass(frozen=True)
class Comparison:
    """What was found: rows is at least 1; most_different begins with the lowest cosine."""

    file: str
    space_id: str
    rows: int
    mean_cosine: float
    worst_cosine: float
    most_different: list[Difference]


def add_compare_options(parser: argparse.ArgumentParser) -> None:
    """Add the option --compare and those that apply with it."""
    group = parser.add_argument_group("comparison")
    group.add_argument(
        "--compare",
        metavar="FILE",
        help="show instead how near the vectors in FILE are to the model's: a JSON object a line, "
        "with a text and its vector; - reads standard input",
    )
    group.add_argument("--field", metavar="NAME", help="the key of the texts (default: text)")
    group.add_argument(
        "--vector-field", metavar="NAME", help="the key of the vectors (default: embedding)"
    )
    add_model_options(parser)
    parser.set_defaults(**_READING)


def refuse_compare_options(arguments: argparse.Namespace) -> None:
    """Refuse options that need --compare, which is not there; UsageError names the first."""
    for name, default in _NOT_GIVEN.items():
        if getattr(arguments, name) != default:
            raise UsageError(
                f"--{name.replace('_', '-')} applies together with --compare FILE only"
            )


def run_compare(arguments: argparse.Namespace) -> int:
    """Run the comparison and print it."""
    found = _compare(arguments)
    lines = [json.dumps(asdict(found), indent=2)] if arguments.json else _lines(found)
    for line in lines:
        sys.stdout.buffer.write(f"{line}\n".encode(errors="replace"))
    return 0


def _compare(arguments: argparse.Namespace) -> Comparison:
    import numpy as np

    from bge_micro.similarity import similarity_pairwise

    rows, total = 0, 0.0
    worst: list[Difference] = []
    with _open(arguments.compare) as file:
        model = load_model(arguments)
        reader = _Reader(file, model, arguments)
        texts = TextInput(reader.rows(), reader.name, "line", arguments.errors)
        if arguments.compare != "-" and sys.stderr.isatty() and file.seekable():
            texts.total = count_lines(file)
        with show_progress(texts, to_terminal=False) as advance:
            for block, ours in encode_blocks(model, texts, arguments):
                cosines = similarity_pairwise("cosine", ours, reader.take_vectors())
                cosines = np.clip(cosines, -1, 1)
                rows += len(block)
                total += float(cosines.sum(dtype=np.float64))
                worst += map(
                    Difference,
                    [row.place for row in block],
                    cosines.tolist(),
                    [row.text for row in block],
                )
                worst = heapq.nsmallest(_NAMED, worst, key=lambda found: found.cosine)
                advance(len(block))
    if not rows:
        raise ValueError(f"{reader.name}: holds no rows; expected {reader.expected} a line.")
    return Comparison(reader.name, model.space_id, rows, total / rows, worst[0].cosine, worst)


@contextmanager
def _open(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdin.buffer
    else:
        with open(path, "rb") as file:
            yield file


class _Reader:
    """Reads the texts of a file of JSON lines, and keeps their vectors until they are taken.

    Attributes:
        name: What people call the file.
        expected: What a line should be, for messages.
    """

    def __init__(
        self, file: IO[bytes], model: SentenceTransformer, arguments: argparse.Namespace
    ) -> None:
        self.name = "standard input" if arguments.compare == "-" else arguments.compare
        self._file = file
        self._text_field = arguments.field or "text"
        self._vector_field = arguments.vector_field or "embedding"
        self._dimensions = model.get_embedding_dimension()
        self._vectors: list[NDArray[Any]] = []
        example = f'{{"{self._text_field}": "...", "{self._vector_field}": [0.1, ...]}}'
        self.expected = f"a JSON object like {example}"

    def rows(self) -> Iterator[FoundRow]:
        """Yield number and text of each line that is not empty; ValueError for a bad one."""
        for place, line, fault, _ in text_rows(self._file):
            if not line.strip():
                continue
            try:
                if fault is not None:
                    raise ValueError(fault)
                text, vector = self._parse(line)
            except ValueError as error:
                raise ValueError(f"{self.name}: line {place} {error}.") from error
            self._vectors.append(vector)
            yield FoundRow(place, text)

    def take_vectors(self) -> NDArray[Any]:
        """Return the unit vectors (rows, dimensions) of the texts read since the last call."""
        import numpy as np

        taken = np.stack(self._vectors)
        self._vectors.clear()
        return taken

    def _parse(self, line: str) -> tuple[str, NDArray[Any]]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is not JSON: {error}; expected {self.expected}") from error
        if not isinstance(value, dict):
            raise ValueError(f"holds {json_type(value)}, expected {self.expected}")
        for field, option in ((self._text_field, "field"), (self._vector_field, "vector-field")):
            if field not in value:
                raise ValueError(f"{no_such_name(field, [*value])}; name its key by --{option}")
        text = value[self._text_field]
        if not isinstance(text, str):
            raise ValueError(f"holds {json_type(text)} as {self._text_field!r}, expected a string")
        return text, self._unit_vector(value[self._vector_field])

    def _unit_vector(self, numbers: object) -> NDArray[Any]:
        import numpy as np

        field = self._vector_field
        if not isinstance(numbers, list):
            raise ValueError(f"holds {json_type(numbers)} as {field!r}, expected an array")
        for position, number in enumerate(numbers, 1):
            if type(number) not in (int, float):
                raise ValueError(
                    f"holds {json_type(number)} at position {position} of {field!r}, expected a "
                    "number"
                )
        if len(numbers) != self._dimensions:
            raise ValueError(
                f"holds {len(numbers)} numbers as {field!r}, expected {self._dimensions}, as many "
                "as the model's vectors have; --model names the model they are from"
            )
        try:
            vector = np.array(numbers, np.float64)
            finite = bool(np.isfinite(vector).all())
        except OverflowError:  # a whole number beyond float64
            finite = False
        if not finite:
            raise ValueError(f"holds NaN or infinity in {field!r}, expected finite numbers")
        largest = np.abs(vector).max()
        if largest == 0:
            raise ValueError(f"holds zeros only in {field!r}, which has no cosine")
        vector /= largest  # so that squares neither overflow nor vanish
        unit: NDArray[Any] = vector / np.linalg.norm(vector)
        return unit.astype(np.float32)


def _lines(found: Comparison) -> Iterator[str]:
    """Yield the comparison as lines for people."""
    fields = {
        "compared": found.file,
        "with space": found.space_id,
        "rows": found.rows,
        "mean cosine": f"{found.mean_cosine:.6f}",
        "worst cosine": f"{found.worst_cosine:.6f}",
    }
    for name, value in fields.items():
        yield f"{name:20}{value}"
    yield "lines that differ most:"
    columns = shutil.get_terminal_size().columns
    for row in found.most_different:
        start = f"{row.cosine:9.6f} {row.line:8}  "
        yield start + shown(row.text, columns - len(start))
