"""A target under atheris: python -m fuzz.run TARGET [libFuzzer's arguments]."""

from __future__ import annotations

import importlib
import random
import sys

import atheris


def main() -> None:
    with atheris.instrument_imports(include=["bge_micro"]):
        target = importlib.import_module(f"fuzz.{sys.argv.pop(1)}")
    options = {}
    if hasattr(target, "mutate"):

        def mutate(data: bytes, most: int, seed: int) -> bytes:
            changed: bytes = target.mutate(data, most, random.Random(seed), atheris.Mutate)
            return changed

        options["custom_mutator"] = mutate
    atheris.Setup(sys.argv, target.fuzz, **options)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
