"""Writes or checks digests.json: digests of what `encode` returns for the golden texts.

    python tests/golden/make_digests.py                 # write, after numerics changed on purpose
    python tests/golden/make_digests.py --check         # compare; exit status 1 if a text differs
    python tests/golden/make_digests.py --check --compute-type int8 --max-tokens 40 --rows 0::5

BGE_MICRO_ISA chooses the instruction set, and the digests are the same on all of them. A text's
digest covers its float32 vector and, up to 64 tokens, one other form of the result: the forms take
turns, because each of them is another pass through the encoder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import bge_micro
from bge_micro import SentenceTransformer, _core

FOLDER = Path(__file__).resolve().parent
TEXTS = FOLDER / "texts.jsonl"
DIGESTS = FOLDER / "digests.json"
WEIGHTS = Path(bge_micro.__file__).parent / "data" / "bge-micro-v2" / "model.safetensors"
COMPUTE_TYPES = ("int8", "float32")

# Options of encode, besides none at all. Lengths that are no multiple of 8 or 16 have a ragged end.
FORMS: tuple[dict[str, Any], ...] = (
    {"normalize_embeddings": True},
    {"truncate_dim": 100},
    {"truncate_dim": 250, "normalize_embeddings": True},
    {"precision": "int8"},
    {"precision": "uint8", "truncate_dim": 33},
    {"precision": "binary"},
    {"precision": "ubinary", "truncate_dim": 100},
    {"precision": "int8", "truncate_dim": 64, "normalize_embeddings": True},
    {"output_value": "token_embeddings"},
)
FORMS_UP_TO_TOKENS = 64


def golden_texts() -> list[str]:
    """Read texts.jsonl."""
    return [json.loads(line) for line in TEXTS.read_bytes().split(b"\n")[:-1]]


def file_sha256(path: Path) -> str:
    """Return a file's checksum."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def portable_bytes(array: NDArray[Any]) -> bytes:
    """Return an array's bytes, little-endian on any machine."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def text_digests(model: SentenceTransformer, rows: Sequence[int]) -> list[str]:
    """Return the digests of the golden texts with these line numbers: 16 hex digits each."""
    every_text = golden_texts()
    texts = [every_text[row] for row in rows]
    content = [portable_bytes(vector) for vector in model.encode(texts)]
    short = model.count_tokens(texts).used <= FORMS_UP_TO_TOKENS
    for number, form in enumerate(FORMS):
        turn = [i for i, row in enumerate(rows) if short[i] and row % len(FORMS) == number]
        for i, result in zip(turn, model.encode([texts[i] for i in turn], **form), strict=True):
            content[i] += portable_bytes(result)
    return [hashlib.sha256(part).hexdigest()[:16] for part in content]


def overall_digest(digests: Sequence[str]) -> str:
    """Return one hash over the digests of all texts."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def committed_digests() -> dict[str, Any]:
    """Read digests.json."""
    committed: dict[str, Any] = json.loads(DIGESTS.read_text("utf-8"))
    return committed


def differences(compute_type: str, rows: Sequence[int], digests: Sequence[str]) -> list[int]:
    """Return the line numbers of the texts whose digests are not the committed ones."""
    wanted = committed_digests()["texts"][compute_type]
    return [row for row, digest in zip(rows, digests, strict=True) if digest != wanted[row]]


def provenance() -> dict[str, Any]:
    """Return what the digests belong to."""
    return {
        "numerics_version": _core.numerics_version,
        "weights_sha256": file_sha256(WEIGHTS),
        "texts_sha256": file_sha256(TEXTS),
    }


def write(digests: dict[str, list[str]]) -> None:
    """Write digests.json."""
    overall = {compute_type: overall_digest(digests[compute_type]) for compute_type in digests}
    contents = {**provenance(), "overall": overall, "texts": digests}
    DIGESTS.write_text(json.dumps(contents, indent=1) + "\n", "utf-8")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Write or check the digests of the golden texts.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--compute-type", choices=COMPUTE_TYPES, help="only this one")
    parser.add_argument("--max-tokens", type=int, default=512, help="only texts up to this length")
    parser.add_argument("--rows", default="::", help="only these lines, as in a Python slice: 0::5")
    parser.add_argument("--threads", type=int, help="as for encode; changes no digest")
    arguments = parser.parse_args()
    chosen = arguments.compute_type, arguments.max_tokens, arguments.rows
    if not arguments.check and chosen != (None, 512, "::"):
        parser.error("only --check takes a part of the texts: the file holds all")
    return arguments


def main() -> int:
    """Write or check; return the exit status."""
    arguments = parse_arguments()
    part = slice(*(int(end) if end else None for end in arguments.rows.split(":")))
    chosen = [arguments.compute_type] if arguments.compute_type else COMPUTE_TYPES
    digests: dict[str, list[str]] = {}
    failed = arguments.check and any(
        committed_digests()[key] != value for key, value in provenance().items()
    )
    if failed:
        print("digests.json belongs to other weights, texts or another numerics version")
    for compute_type in chosen:
        model = SentenceTransformer(compute_type=compute_type, threads=arguments.threads)
        used = model.count_tokens(golden_texts()).used
        rows = [row for row in range(len(used))[part] if used[row] <= arguments.max_tokens]
        start = time.perf_counter()
        digests[compute_type] = text_digests(model, rows)
        seconds = time.perf_counter() - start
        summary = f"{compute_type} on {model.isa}: {len(rows)} texts, {used[rows].sum()} tokens"
        print(f"{summary}, {seconds:.1f} s, {overall_digest(digests[compute_type])}", flush=True)
        if arguments.check and (bad := differences(compute_type, rows, digests[compute_type])):
            print(f"{len(bad)} texts differ from digests.json, in lines {bad[:20]}")
            failed = True
    if not arguments.check:
        write(digests)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
