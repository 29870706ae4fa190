"""Texts of 100 MB: time, memory, how much of a text is used, and how the caller learns it."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest

from api.child import run_child
from bge_micro import SentenceTransformer

# CPU time of a cache and a core's units that others use, too, is up to so many times as long.
BUSY = 3

MEASURE = """
    import json, resource, time
    from bge_micro import SentenceTransformer

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT

    model = SentenceTransformer(threads=1)
    results = {}
    for name, part in {
        "words": "the quick brown fox ",
        "one word": "abcdefghij",
        "marks": "...,;",
        "blanks": "  \\n  ",
        "nothing": "\\0",
    }.items():
        text = part * (100_000_000 // len(part))
        beginning = text[:20_000]
        expected = model.encode(PROMPT + beginning)
        before = peak()
        start = time.process_time()
        vector = model.encode(text, prompt=PROMPT)
        seconds = time.process_time() - start
        same = vector.tobytes() == expected.tobytes()
        results[name] = [seconds, (peak() - before) / 2**20, same]
        del text
    print(json.dumps(results))
"""


def measure(prompt: str) -> dict[str, tuple[float, float, bool]]:
    """Encode 100 MB of each kind: CPU seconds, MB more, whether equal to the beginning's vector."""
    unit = "1" if sys.platform == "darwin" else "1024"
    program = MEASURE.replace("UNIT", unit).replace("PROMPT", repr(prompt))
    found: dict[str, tuple[float, float, bool]] = run_child(program)
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module")
@pytest.mark.parametrize("prompt", ["", "query: "])
def test_a_hundred_megabytes(prompt: str) -> None:
    for name, (seconds, megabytes, same) in measure(prompt).items():
        assert same, f"{name}: another vector than that of its beginning"
        assert seconds < 0.5 * BUSY, f"{name}: {seconds:.2f} s"
        assert megabytes < 50, f"{name}: {megabytes:.0f} MB"


@pytest.mark.parametrize("text", ["to be or not to be, " * 2000, "long" * 20_000, "水" * 9000])
def test_the_rest_changes_nothing(model: SentenceTransformer, text: str) -> None:
    limit = model.max_seq_length
    whole = model.encode(["short", text, text + " and more"])
    ids = model.tokenizer.encode(text).ids
    used = ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]
    assert model.tokenize(text)["input_ids"][0].tolist() == used
    assert whole[1].tobytes() == model.encode(text).tobytes()
    if len(ids) > limit:
        assert whole[2].tobytes() == whole[1].tobytes()
        by_hand = model.tokenizer.decode(ids[1 : limit - 1])
        assert model.encode(by_hand).tobytes() == whole[1].tobytes()


def test_used_and_truncated(model: SentenceTransformer) -> None:
    use = model.count_tokens(["w " * 509, "w " * 510, "w " * 511, "w " * 100_000, "w" * 100_000])
    assert use.used.tolist() == [511, 512, 512, 512, 3]
    assert use.truncated.tolist() == [False, False, True, True, False]


@pytest.mark.parametrize("output_value", ["sentence_embedding", "token_embeddings", None])
@pytest.mark.parametrize("method", ["encode", "encode_query"])
def test_warning(model: SentenceTransformer, output_value: str | None, method: str) -> None:
    brief = copy.copy(model)
    brief.max_seq_length = 8
    rows = ["short", "w " * 7, "w " * 6, *["w " * 1000] * 12]
    encode = getattr(brief, method)
    with pytest.warns(UserWarning, match="13 texts have more than 8 tokens") as caught:
        encode(rows, truncation="warn", output_value=output_value)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "rows 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, ..." in message
    assert "max_seq_length" in message
    assert caught[0].filename == __file__, "the warning should point at the caller"


def test_warning_of_blocks(model: SentenceTransformer) -> None:
    with pytest.warns(UserWarning, match="more than 512 tokens") as caught:
        list(model.encode_iter(["w " * 600], truncation="warn"))
    assert caught[0].filename == __file__


def test_error(model: SentenceTransformer) -> None:
    strict = SentenceTransformer(truncation="error", threads=1)
    with pytest.raises(ValueError, match=r"1 texts? .*more than 512 tokens.*rows? 1\b"):
        strict.encode(["w " * 510, "w " * 511])
    assert strict.encode("w " * 510).tobytes() == model.encode("w " * 510).tobytes()
    silent = strict.encode("w " * 600, truncation="silent")
    assert np.array_equal(silent, model.encode("w " * 600))
