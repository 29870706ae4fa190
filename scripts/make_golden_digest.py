"""Write python/bge_micro/data/golden.json, with which `bge-micro info` compares an installation.

Run it after a deliberate change of the bundled model or the numerics version:

    python scripts/make_golden_digest.py
"""

from __future__ import annotations

import json
from dataclasses import asdict

from bge_micro import SentenceTransformer, _core
from bge_micro.cli.checks import Golden, golden_file, vectors_sha256

# Few and short, because machines without fused multiply-add take 20 ms a token; in several scripts.
TEXTS = [
    "",
    "The quick brown fox jumps over the lazy dog.",
    "Öl, süße Früchte",
    "Быстрая лиса",
    "敏捷的狐狸 🦊 ##ing [SEP]",
]


def main() -> None:
    digests = {
        compute_type: vectors_sha256(SentenceTransformer(compute_type=compute_type), TEXTS)
        for compute_type in ("int8", "float32")
    }
    golden = Golden(_core.numerics_version, TEXTS, digests)
    text = json.dumps(asdict(golden), indent=1) + "\n"
    golden_file().write_bytes(text.encode("ascii"))
    print(f"{golden_file()}: {digests}")


if __name__ == "__main__":
    main()
