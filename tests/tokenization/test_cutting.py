"""Huge texts: exact ids, and as little of the text as possible is read."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenization_cases import Reference, texts
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from bge_micro.tokenization import Tokenizer, build_wordpiece_tokenizer, replace_surrogates
from bge_micro.tokenization.cutting import Cutter
from properties import examples

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCAB = [*SPECIALS, *"abcdefghijklmnopqrst.,-[]", *(f"##{c}" for c in "abcdefghst"), "日", "é", "É"]


def build(**options: bool | None) -> tokenizers.Tokenizer:
    return build_wordpiece_tokenizer(VOCAB, **options)  # type: ignore[arg-type]


def without_cleaning() -> tokenizers.Tokenizer:
    tokenizer = build()
    tokenizer.normalizer = BertNormalizer(clean_text=False)
    return tokenizer


SETTINGS = {
    "uncased": build(),
    "cased": build(lowercase=False),
    "accents kept": build(strip_accents=False),
    "ideographs joined": build(handle_chinese_chars=False),
    "nothing cleaned": without_cleaning(),
}


@examples(300)
@given(text=texts, size=st.sampled_from([1, 2, 8, 40, 200]), name=st.sampled_from(list(SETTINGS)))
def test_the_chunks_have_the_tokens_of_the_text(text: str, size: int, name: str) -> None:
    tokenizer = SETTINGS[name]
    cutter = Cutter.for_tokenizer(tokenizer)
    assert cutter is not None
    ids: list[int] = []
    for chunk, repeated in cutter.chunks(text, size):
        chunk_ids = tokenizer.encode(replace_surrogates(chunk), add_special_tokens=False).ids
        assert len(chunk_ids) >= repeated
        ids += chunk_ids[repeated:]
    assert ids == tokenizer.encode(replace_surrogates(text), add_special_tokens=False).ids


@pytest.mark.parametrize(
    ("unit", "longest"),
    [
        ("word and ", 8 + 9),
        ("日本", 8),
        ("...", 8),
        ("[SEP]", 8 + 5),
        ("a", 8 + 404),
        ("base64data", 8 + 404),
        ("é", 8 + 404),
        ("かな", 8 + 404),
        ("\x00", 8 + 404 + 404),
        ("\u0301", 8 + 404 + 404),
        (" ", 0),
        # Here no cut is safe, so the whole text is read.
        ("\x0b\x0c\x85", 3000),
        ("a\u3000", 2000),
    ],
)
def test_cuts_are_found_soon(unit: str, longest: int) -> None:
    cutter = Cutter.for_tokenizer(SETTINGS["uncased"])
    assert cutter is not None
    first, _ = next(cutter.chunks(unit * 1000, 8), ("", 0))
    assert len(first) <= longest


@pytest.mark.parametrize("name", ["uncased", "accents kept", "nothing cleaned"])
def test_every_character_that_may_be_cut_after_ends_a_word(name: str) -> None:
    tokenizer = SETTINGS[name]
    cutter = Cutter.for_tokenizer(tokenizer)
    assert cutter is not None
    ends = [c for c in map(chr, range(0x110000)) if cutter._word_end.match(c)]
    assert len(ends) > 80_000
    text = "".join(f"{end}\u0301a\u0903b" for end in ends)
    words = BertPreTokenizer().pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
    assert sum("b" in word for word, _ in words) == len(ends)
    assert not [word for word, _ in words if "b" in word and word[-1] != "b"]
    assert not [word for word, _ in words if "b" in word and cutter._word_end.search(word)]


@pytest.mark.parametrize(
    "character", ["\x0b", "\x0c", "\x85", "\u3000", "\xa0", "é", "\u0301", "、"]
)
def test_other_characters_are_not_cut_after(character: str) -> None:
    cutter = Cutter.for_tokenizer(SETTINGS["uncased"])
    assert cutter is not None
    text = f"ab{character}cd" * 5
    assert list(cutter.chunks(text, 1)) == [(text, 0)]


def _with_token(content: str, **options: bool) -> tokenizers.Tokenizer:
    tokenizer = build()
    tokenizer.add_tokens([tokenizers.AddedToken(content, **{"normalized": False, **options})])
    return tokenizer


def _with(part: str, value: object) -> tokenizers.Tokenizer:
    tokenizer = build()
    setattr(tokenizer, part, value)
    return tokenizer


@pytest.mark.parametrize(
    "tokenizer",
    [
        _with_token("[new york]"),
        _with_token("<a>", normalized=True),
        _with_token("<a>", single_word=True),
        _with_token("[aaa"),
        _with("normalizer", tokenizers.normalizers.Lowercase()),
        _with("normalizer", tokenizers.normalizers.Sequence([BertNormalizer()])),
        _with("pre_tokenizer", tokenizers.pre_tokenizers.Whitespace()),
        _with("model", tokenizers.models.WordLevel({"[UNK]": 1, "a": 5}, unk_token="[UNK]")),
    ],
)
def test_other_tokenizers_read_the_whole_text(tokenizer: tokenizers.Tokenizer) -> None:
    reference = tokenizers.Tokenizer.from_str(tokenizer.to_str())
    text = "a [new york] <a>b [aaa" + "a b. " * 200 + "a" * 300
    full = reference.encode(text).ids
    reference.enable_truncation(6)
    ours = Tokenizer.from_json(tokenizer.to_str(), source="test")
    assert ours._reference._cutter is None
    assert ours.ragged([text], 6).ids.tolist() == reference.encode(text).ids
    assert ours.token_count(text) == len(full)


@pytest.mark.parametrize("content", ["<a>", "a.", "日]", "[]]", "[b-b]"])
def test_further_added_tokens_are_never_cut(content: str) -> None:
    tokenizer = _with_token(content)
    cutter = Cutter.for_tokenizer(tokenizer)
    assert cutter is not None
    text = (content * 3 + "ab" + content[:-1] + content + "." + content[1:]) * 20
    for size in range(1, 30):
        ids: list[int] = []
        for chunk, repeated in cutter.chunks(text, size):
            ids += tokenizer.encode(chunk, add_special_tokens=False).ids[repeated:]
        assert ids == tokenizer.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize(
    "text",
    [
        # A window that is one word may have fewer letters than WordPiece reads.
        *(("a" + "\u0301" * 5) * letters for letters in (60, 90, 100, 101, 200)),
        # One character repeated, each a token, without a safe cut.
        "\u2026" * 2000,
    ],
)
def test_windows_that_may_not_be_cut(text: str) -> None:
    tokenizer = SETTINGS["uncased"]
    cutter = Cutter.for_tokenizer(tokenizer)
    assert cutter is not None
    ids: list[int] = []
    for chunk, repeated in cutter.chunks(text, 1):
        ids += tokenizer.encode(chunk, add_special_tokens=False).ids[repeated:]
    assert ids == tokenizer.encode(text, add_special_tokens=False).ids


def test_a_longer_word_length_is_respected() -> None:
    content = json.loads(build().to_str())
    content["model"]["max_input_chars_per_word"] = 300
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
    ours = Tokenizer.from_json(tokenizer.to_str(), source="test")
    for length in (299, 300, 301, 5000):
        text = "a" * length + " b"
        assert ours.token_count(text) == len(tokenizer.encode(text).ids)
        assert ours.ragged([text], 3).ids.tolist()[1] == tokenizer.encode(text).ids[1]


@pytest.mark.parametrize(
    ("text", "limit", "truncated"),
    [
        ("hello world" + " \n" * 5000, 4, False),
        ("hello world" + " \n" * 5000 + "x", 4, True),
        ("hello world" + "\x0b " * 500, 4, False),
        ("hello" + "\x00" * 5000 + "world", 4, False),
        ("a" * 5000, 3, False),
        ("a" * 5000 + " ", 3, False),
        ("a" * 5000 + " b", 3, True),
        (" " * 5000, 2, False),
        (" " * 5000 + "b", 2, True),
        ("\ud800" * 5000, 2, False),
    ],
)
def test_a_text_without_further_tokens_is_not_truncated(
    tokenizer: Tokenizer, reference: Reference, text: str, limit: int, truncated: bool
) -> None:
    batch = tokenizer.ragged(["first", text, "last"], limit)
    assert batch.truncated.tolist()[1] is truncated
    assert batch.ids[batch.offsets[1] : batch.offsets[2]].tolist() == reference(text, limit)


@pytest.mark.parametrize(
    "prefix", ["query: ", "q", "[SE", "[SEP]", "日", "é", "\u0301", "a" * 99, "\x00", " ", "\x0b"]
)
@pytest.mark.parametrize(
    "text",
    [
        "P] some words, and more " * 40,
        "a" * 500 + " b",
        " \t blanks first" * 50,
        "",
        "日本" * 100,
        "\x0bnot a blank" * 50,
        "\xa0a kind of blank" * 50,
        "b" * 101 + "." * 300,
        "short",
    ],
)
def test_a_prefix_is_as_if_it_were_part_of_the_text(
    tokenizer: Tokenizer, reference: Reference, prefix: str, text: str
) -> None:
    for limit in (3, 5, 16):
        batch = tokenizer.ragged([text], limit, prefix=prefix)
        assert batch.ids.tolist() == reference(prefix + text, limit)


def test_counting_a_long_text_takes_little_memory(tokenizer: Tokenizer) -> None:
    text = "Some words, no more. " * 25_000
    once = tokenizer.token_count("Some words, no more. ") - 2
    tracemalloc.start()
    try:
        assert tokenizer.token_count(text) == 2 + 25_000 * once
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


HUGE = """
import sys, time
from pathlib import Path
from bge_micro.tokenization import Tokenizer

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

tokenizer = Tokenizer.from_file(sys.argv[1])
tokenizer.ragged(["warm up"], 512)
for unit in ["many words ", "a", "é", "日本", " ", chr(0), "[SEP]", "-", chr(0xD800)]:
    text = unit * (100_000_000 // len(unit.encode("utf-8", "surrogatepass")))
    Path("/proc/self/clear_refs").write_text("5")
    before, start = peak(), time.process_time()
    tokenizer.ragged([text], 512)
    seconds = time.process_time() - start
    print(f"{unit.encode('unicode_escape').decode()!r} {seconds:.3f} {peak() - before:.1f}")
"""


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from Linux"
)
def test_100_mb_take_little_time_and_memory(tokenizer_file: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", HUGE, str(tokenizer_file)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    for line in run.stdout.splitlines():
        *_, seconds, megabytes = line.split()
        # The promise is half a second of CPU time, on a machine that does nothing else.
        assert float(seconds) < 2.0, line
        assert float(megabytes) < 20, line
    assert len(run.stdout.splitlines()) == 9
