"""The core's tokenizer of ASCII texts gives the ids of `tokenizers`, and leaves it all others."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import models, processors

from bge_micro.tokenization import RaggedBatch, Tokenizer, build_wordpiece_tokenizer
from bge_micro.tokenization.wordpiece import plain_tokenizer

ASCII = [chr(code) for code in range(128)]
# One or more of each class, of each word length in the small vocabularies, and of each kind of
# letter: in it as a beginning, as a continuation, as both, as neither; in capitals and not.
ALPHABET = "aAbBsSzZ09 \t\n\r\x00\x0b\x0c\x1c\x1f\x7f#[].-_@x"
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SMALL = [
    *SPECIALS,
    *"abxAB.#[@",
    "ab",
    "abs",
    "##a",
    "##b",
    "##s",
    "##abs",
    "##A",
    "sa",
    "é",
    "##é",
]
EVALUATION = Path(__file__).parents[3] / "shared" / "eval"


def small(**options: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(build_wordpiece_tokenizer(SMALL, **options).to_str())
    return content


def with_model(**fields: Any) -> dict[str, Any]:
    content = small()
    content["model"] |= fields
    return content


def with_added(content: str, **fields: Any) -> dict[str, Any]:
    inner = build_wordpiece_tokenizer(SMALL)
    inner.add_tokens([tokenizers.AddedToken(content, normalized=False, **fields)])
    changed: dict[str, Any] = json.loads(inner.to_str())
    return changed


def with_post_processor(processor: Any) -> dict[str, Any]:
    inner = build_wordpiece_tokenizer(SMALL)
    inner.post_processor = processor
    changed: dict[str, Any] = json.loads(inner.to_str())
    return changed


def other_prefix(prefix: str) -> dict[str, Any]:
    tokens = [token.replace("##", prefix) if len(token) > 2 else token for token in SMALL]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return with_model(continuing_subword_prefix=prefix, vocab=vocab)


PLAIN = {
    "uncased": small(),
    "cased": small(lowercase=False),
    "accents kept": small(strip_accents=False),
    "ideographs joined": small(handle_chinese_chars=False),
    "words of 2": with_model(max_input_chars_per_word=2),
    "words of 0": with_model(max_input_chars_per_word=0),
    "words of 300": with_model(max_input_chars_per_word=300),
    "prefix @@": other_prefix("@@"),
    "prefix of a letter": other_prefix("x"),
    "no prefix": other_prefix(""),
    "unknown is a word": with_model(unk_token="ab"),
    "an added word": with_added("sa"),
    "an added word alone": with_added("ab", single_word=True),
    "an added word with blanks": with_added("a b", lstrip=True, rstrip=True),
    "an added token begins with a blank": with_added(" z"),
    "an added token begins with what is removed": with_added("\x00a"),
    "BertProcessing": with_post_processor(processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))),
    "nothing before": with_post_processor(
        processors.TemplateProcessing(
            single="$A [SEP] [MASK]", special_tokens=[("[SEP]", 3), ("[MASK]", 4)]
        )
    ),
}


def other_parts() -> Iterator[tuple[str, Any]]:
    yield "normalizer", {"type": "Lowercase"}
    yield "normalizer", None
    yield "normalizer", small()["normalizer"] | {"clean_text": False}
    yield "normalizer", {"type": "Sequence", "normalizers": [small()["normalizer"]]}
    yield "pre_tokenizer", {"type": "Whitespace"}
    yield "pre_tokenizer", None
    bpe = tokenizers.Tokenizer(models.BPE({"a": 0, "b": 1, "[UNK]": 2}, [], unk_token="[UNK]"))
    yield "model", json.loads(bpe.to_str())["model"]
    yield "post_processor", None


NOT_PLAIN = [small() | {part: value} for part, value in other_parts()]


def load(content: dict[str, Any]) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    text = json.dumps(content)
    ours = Tokenizer.from_json(text, source="test")
    assert ours._plain is not None
    return ours, tokenizers.Tokenizer.from_str(text)


@pytest.fixture(scope="module")
def bundled(tokenizer_json: str) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    return load(json.loads(tokenizer_json))


def check(
    pair: tuple[Tokenizer, tokenizers.Tokenizer],
    texts: Iterable[str],
    limit: int = 1 << 20,
    prefix: str = "",
) -> None:
    """Compare each text's ids, and whether it is truncated, with the reference's."""
    ours, theirs = pair
    special = ours._special_count
    before = ours._reference.before
    after = ours._reference.after
    for block in _blocks(texts):
        found = ours.ragged(block, limit, prefix=prefix)
        encodings = theirs.encode_batch_fast(
            [prefix + text for text in block], add_special_tokens=False
        )
        for row, encoding in enumerate(encodings):
            expected = [*before, *encoding.ids[: limit - special], *after]
            ids = found.ids[found.offsets[row] : found.offsets[row + 1]].tolist()
            assert ids == expected, (prefix, block[row])
            cut = len(encoding.ids) + special > limit
            assert bool(found.truncated[row]) == cut, (prefix, block[row])


def _blocks(texts: Iterable[str]) -> Iterator[list[str]]:
    rows = iter(texts)
    while block := list(itertools.islice(rows, 4096)):
        yield block


def random_texts(count: int, alphabet: list[str], seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    for _ in range(count):
        yield "".join(rng.choices(alphabet, k=rng.randrange(1, 24)))


# Pieces of which random texts have many words that are in the vocabulary, and all characters.
PIECES = [
    *ASCII, *(" " * 40), *"etaoinshrdlu", *("the", "play", "ing", "un", "able", "News", "2024"),
    *("[SEP]", "[CLS]", "[MASK", "PAD]", "[UNK]", "[S", "EP]", "a" * 99, "b" * 101, "ab" * 60),
]  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_all_short_strings(name: str) -> None:
    pair = load(PLAIN[name])
    check(pair, ("".join(word) for n in (0, 1, 2) for word in itertools.product(ASCII, repeat=n)))
    check(pair, map("".join, itertools.product(ALPHABET, repeat=3)))


def test_all_short_strings_with_the_bundled_vocabulary(
    bundled: tuple[Tokenizer, tokenizers.Tokenizer],
) -> None:
    check(bundled, map("".join, itertools.product(ASCII, repeat=2)))
    check(bundled, map("".join, itertools.product(ALPHABET, repeat=3)))


@pytest.mark.parametrize("name", PLAIN)
def test_random_strings(name: str) -> None:
    pair = load(PLAIN[name])
    pieces = [*ALPHABET, "[SEP]", "[sep]", "a" * 99, "b" * 101, "ab" * 150, "abs", "ABS", "a b"]
    check(pair, random_texts(1_000, pieces, 1))
    for limit in range(pair[0]._special_count, 12):
        check(pair, random_texts(40, pieces, limit), limit)


def test_random_strings_with_the_bundled_vocabulary(
    bundled: tuple[Tokenizer, tokenizers.Tokenizer],
) -> None:
    check(bundled, random_texts(10_000, PIECES, 2))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_ten_million_random_strings(
    bundled: tuple[Tokenizer, tokenizers.Tokenizer], seed: int
) -> None:
    check(bundled, random_texts(1_000_000, PIECES, 100 + seed))


def test_every_token_of_the_vocabulary(bundled: tuple[Tokenizer, tokenizers.Tokenizer]) -> None:
    tokens = [token.removeprefix("##") for token in bundled[1].get_vocab()]
    check(bundled, tokens)
    check(bundled, map("".join, itertools.pairwise(tokens)))


@pytest.mark.parametrize("prefix", ["a", "query: ", "[S", "b\x00", "a" * 60, "é", " "])
def test_a_prefix_is_part_of_the_text(
    bundled: tuple[Tokenizer, tokenizers.Tokenizer], prefix: str
) -> None:
    texts = ["", "bc", " bc", "EP] b", "[SEP]", "a" * 41, "a" * 40, "\x00d", "é"]
    for limit in (2, 3, 4, 64):
        check(bundled, texts, limit, prefix)


def test_each_limit(bundled: tuple[Tokenizer, tokenizers.Tokenizer]) -> None:
    text = "Unaffable playing, [MASKED] and " + "x" * 101 + " [SEP] end."
    plain = text.replace("[SEP]", "")
    for limit in range(2, 40):
        check(bundled, [text, plain, plain + " \n", plain + "."], limit)


def test_real_texts(bundled: tuple[Tokenizer, tokenizers.Tokenizer]) -> None:
    files = sorted(EVALUATION.rglob("*.jsonl*")) + sorted(EVALUATION.rglob("*.tsv"))
    files = [path for path in files if path.suffix in (".jsonl", ".tsv")]
    if not files:
        pytest.skip(f"needs English texts in {EVALUATION.name}, which are not here")
    lines = [line for path in files for line in path.read_text("utf-8").splitlines()[:1_000]]
    check(bundled, lines, 128)


def test_plain_and_other_texts_in_one_batch(
    bundled: tuple[Tokenizer, tokenizers.Tokenizer],
) -> None:
    texts = ["é", "plain", "", "a [SEP] b", "日本", "more plain", "\ud800", "[CLS]"]
    for length in range(len(texts) + 1):
        chosen = [text for text in texts[:length] if text != "\ud800"]
        check(bundled, chosen, 512)
    whole: RaggedBatch = bundled[0].ragged(texts, 512)
    alone = [bundled[0].ragged([text], 512) for text in texts]
    assert whole.ids.tolist() == np.concatenate([batch.ids for batch in alone]).tolist()
    assert whole.counts.tolist() == [len(batch.ids) for batch in alone]
    assert [whole.ids.dtype, whole.offsets.dtype, whole.truncated.dtype] == [
        "int32", "int64", "bool",
    ]  # fmt: skip


@pytest.mark.parametrize("content", NOT_PLAIN)
def test_other_tokenizers_are_left_to_the_reference(content: dict[str, Any]) -> None:
    assert plain_tokenizer(json.dumps(content).encode()) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"ab"', '"a\nb"', 1),
        lambda text: text.replace('"ab": ', '"ab": -', 1),
        lambda text: text.replace('"ab": ', '"ab": 0', 1),
        lambda text: text.replace('"ab": ', '"ab": 1.', 1),
        lambda text: text.replace('"ab": ', '"ab": 99999999999', 1),
        lambda text: text.replace('"ab": ', '"ab" ', 1),
        lambda text: text.replace('"ab"', r'"\xab"', 1),
        lambda text: text.replace('"ab"', r'"\u00"', 1),
        lambda text: text.replace('"vocab"', '"words"', 1),
        lambda text: text.replace('"vocab": {', '"vocab": [{', 1),
        lambda text: '{"vocab": {}, ' + text[1:],
        lambda text: text.replace('"unk_token": "[UNK]"', '"unk_token": "absent"'),
        lambda text: text.replace('"max_input_chars_per_word": 100', '"other": 100'),
        lambda text: text.replace('"type": "WordPiece", "unk', '"unk', 1),
    ],
)
def test_damaged_files_are_left_to_the_reference(damage: Any) -> None:
    text = json.dumps(small())
    assert plain_tokenizer(text.encode()) is not None
    damaged = damage(text)
    assert damaged != text
    assert plain_tokenizer(damaged.encode("utf-8", "surrogatepass")) is None


def test_escapes_in_the_vocabulary() -> None:
    vocab = dict.fromkeys([*SPECIALS, '"', "\\", "/", "<", "\u0041b", "aé", "\U0001f600", "\t"], 0)
    content = with_model(vocab={token: number for number, token in enumerate(vocab)})
    text = json.dumps(content).replace('"<"', r'"\u003C"').replace('"/"', r'"\/"')
    content["normalizer"]["lowercase"] = False
    ours = Tokenizer.from_json(text, source="test")
    assert ours._plain is not None
    check((ours, tokenizers.Tokenizer.from_str(text)), ['"\\/<', "Ab", "a", "\t"])
    assert ours.max_id == len(vocab) - 1


def test_a_token_that_is_there_twice_has_its_last_id() -> None:
    text = json.dumps(small()).replace('"ab": 14', '"ab": 5, "ab": 14')
    ours = Tokenizer.from_json(text, source="test")
    assert ours._plain is not None
    check((ours, tokenizers.Tokenizer.from_str(text)), ["ab", "abab"])


def test_an_added_token_that_is_normalized_is_found_by_its_first_mark() -> None:
    inner = build_wordpiece_tokenizer(SMALL)
    inner.add_tokens([tokenizers.AddedToken("[New]", normalized=True)])
    pair = load(json.loads(inner.to_str()))
    check(pair, ["[new]", "a[NEW]", "[n\x00ew]", "a b", "new"])
    inner.add_tokens([tokenizers.AddedToken("new", normalized=True)])
    assert plain_tokenizer(inner.to_str().encode()) is None


def test_something_else_than_a_string_is_named(
    bundled: tuple[Tokenizer, tokenizers.Tokenizer],
) -> None:
    with pytest.raises(TypeError, match="a text is a bytes, expected a string"):
        bundled[0].ragged(["text", b"bytes"], 512)  # type: ignore[list-item]
