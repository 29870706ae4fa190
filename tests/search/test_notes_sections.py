"""What is a heading, front matter, a passage; and where each begins."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest

from bge_micro import SentenceTransformer
from bge_micro.search.notes.passages import Splitter, Titled
from bge_micro.search.notes.reading import NoNoteError, decode, front_matter_end
from bge_micro.search.notes.rows import rows_of_notes
from bge_micro.search.notes.sections import markdown_sections

pytest.importorskip("markdown_it", reason="Markdown needs the extra bge-micro[notes]")


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return SentenceTransformer()


def headings(text: str) -> list[tuple[str, ...]]:
    return [section.headings for section in markdown_sections(text)]


@pytest.mark.parametrize(
    "text",
    [
        "```\n# no\n```",
        "~~~ sh\n# no\n~~~",
        "````\n```\n# no\n```\n````",
        "```\n# no, and the fence has no end",
        "    # indented code",
        "#tag at the start",
        "####### seven",
        "\\# escaped",
        "> # in a quote",
        "- # in a list",
        "1. text\n   # in a list",
        "<!--\n# in a comment\n-->",
        "<pre>\n# in HTML\n</pre>",
        "---",
        "a | b\n--- | ---",
        "- item\n---",
    ],
)
def test_what_is_no_heading(text: str) -> None:
    assert headings(f"# Real\n\n{text}\n") == [("Real",)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A\nx\n# B\ny", [("A",), ("B",)]),
        ("# A\nx\n## B\ny\n### C\nz\n## D\nw", [("A",), ("A", "B"), ("A", "B", "C"), ("A", "D")]),
        ("### C\nx\n# A\ny", [("C",), ("A",)]),
        ("A\n===\nx\n\nB b\n-\ny", [("A",), ("A", "B b")]),
        ("two\nlines\n===\nx", [("two lines",)]),
        ("   ## A ##   \nx", [("A",)]),
        ("before\n# A\nx", [(), ("A",)]),
        ("# A\n## B\nx", [("A", "B")]),
        ("# A\n## B\n# C", [("A", "B"), ("C",)]),
        ("#\nx", [("",)]),
        ("# A\r\nx\r\n## B\r\ny", [("A",), ("A", "B")]),
        ("no heading", [()]),
        ("\n \n", []),
        ("", []),
    ],
)
def test_heading_paths(text: str, expected: list[tuple[str, ...]]) -> None:
    assert headings(decode(text.encode())) == expected


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("---\na: 1\n---\nx", "x"),
        ("---\na: 1\n...\nx", "x"),
        ("--- \n---\nx", "x"),
        ("+++\na = 1\n+++\nx", "x"),
        ("---\na: 1\n---", ""),
        ("---\na: 1\nno end\n", "---\na: 1\nno end\n"),
        ("----\na\n----\nx", "----\na\n----\nx"),
        ("\n---\na: 1\n---\nx", "\n---\na: 1\n---\nx"),
        ("+++\na\n---\nx", "+++\na\n---\nx"),
        ("x\n---\ny\n---\n", "x\n---\ny\n---\n"),
    ],
)
def test_front_matter(text: str, rest: str) -> None:
    assert text[front_matter_end(text) :] == rest


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("é".encode(), "é"),
        ("é".encode("utf-8-sig"), "é"),
        ("é".encode("utf-16"), "é"),
        (b"\xfe\xff" + "é".encode("utf-16-be"), "é"),
        ("é".encode("utf-32"), "é"),
        (b"a\r\nb\rc\n", "a\nb\nc\n"),
        (b"", ""),
    ],
)
def test_encodings(data: bytes, expected: str) -> None:
    assert decode(data) == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("é".encode("latin-1"), "is not UTF-8: bad byte at position 1"),
        (b"ab\xff", "is not UTF-8: bad byte at position 3"),
        (b"\xff\xfea", "is not UTF-16"),
        ("a".encode("utf-16-le"), "holds the character 0"),
    ],
)
def test_what_is_no_text(data: bytes, message: str) -> None:
    with pytest.raises(NoNoteError, match=message):
        decode(data)


def test_ids_and_lines(model: SentenceTransformer) -> None:
    text = (
        "---\nx: 1\n---\n\nintro\n\n# Day\nx\n\n# Day\n\ny\ny\n# Day (2)\nz\n# Empty\n"
        "## Last\n\n\nw\n\n"
    )
    rows = rows_of_notes([("a/b#c.md", text, "h")], Splitter(model, model.plan(prompt="")))
    found = [(row.id, row.text, row.metadata["line"], row.metadata["end_line"]) for row in rows]
    assert found == [
        ("a/b%23c.md", "b#c\nintro", 5, 5),
        ("a/b%23c.md#Day", "b#c > Day\nx", 7, 8),
        ("a/b%23c.md#Day (2)", "b#c > Day\ny\ny", 10, 13),
        ("a/b%23c.md#Day (2) (2)", "b#c > Day (2)\nz", 14, 15),
        ("a/b%23c.md#Last", "b#c > Empty > Last\nw", 17, 20),
    ]
    for row in rows:
        assert row.text[row.metadata["passage"] :] == row.text.partition("\n")[2]
        assert row.metadata["path"] == "a/b#c.md"
    assert rows[-1].metadata["heading"] == "Empty > Last"


def test_a_title_is_not_said_twice(model: SentenceTransformer) -> None:
    rows = rows_of_notes([("Day.md", "# Day\n## x\ny", "h")], Splitter(model, model.plan()))
    assert [row.text for row in rows] == ["Day > x\ny"]


def words(rng: random.Random, count: int) -> str:
    return " ".join(
        rng.choice(["the", "garden", "unbelievable", "x1", "Übung"]) for _ in range(count)
    )


LONG = {
    "paragraphs": lambda rng: "\n\n".join(words(rng, rng.randint(5, 90)) + "." for _ in range(40)),
    "sentences": lambda rng: " ".join(words(rng, rng.randint(5, 90)) + "." for _ in range(40)),
    "lines": lambda rng: "\n".join(words(rng, rng.randint(1, 30)) for _ in range(200)),
    "one paragraph": lambda rng: words(rng, 3000),
    "no blanks": lambda rng: "漢字" * 2000,
    "Hangul": lambda rng: "한글" * 900,  # one unknown word
    "one huge word": lambda rng: "x" * 30_000,
    "blank lines": lambda rng: "\n" * 500 + words(rng, 900) + " \n" * 500 + words(rng, 10),
}


@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize("overlap", [0, 60])
@pytest.mark.parametrize("length", [64, 512])
def test_passages(model: SentenceTransformer, kind: str, overlap: int, length: int) -> None:
    """They fit the model, leave nothing out, and share no more than was asked for."""
    model.max_seq_length = length
    overlap = min(overlap, length // 4)
    try:
        text = LONG[kind](random.Random(3))
        splitter = Splitter(model, model.plan(prompt=""), overlap)
        (passages,) = splitter.split([Titled("a > title", text)])
        assert len(passages) > 1 or kind in ("one huge word", "Hangul")
        parts = [f"{each.title}\n{text[each.begin : each.end]}" for each in passages]
        use = model.count_tokens(parts)
        assert not use.truncated.any()
        assert passages[0].title == "a > title"
        covered = 0
        for before, each in zip([None, *passages], passages, strict=False):
            assert not text[covered : each.begin].strip(), "nothing is left out"
            if before is not None:
                assert each.begin > before.begin
                assert each.end > before.end
                shared = text[each.begin : before.end]
                if not overlap:
                    assert shared == ""
                elif shared:
                    assert model.count_tokens([shared]).used[0] - 2 <= overlap
            covered = each.end
        assert not text[covered:].strip()
        if overlap and kind in ("lines", "sentences") and length == 512:
            assert any(after.begin < before.end for before, after in pairwise(passages))
    finally:
        model.max_seq_length = 512


def test_passages_end_where_paragraphs_end(model: SentenceTransformer) -> None:
    text = LONG["paragraphs"](random.Random(1))
    (passages,) = Splitter(model, model.plan(prompt="")).split([Titled("t", text)])
    assert all(text[each.end : each.end + 2] in ("\n\n", "") for each in passages)


def test_a_title_longer_than_the_model_takes(model: SentenceTransformer) -> None:
    title = "heading " * 600
    (passages,) = Splitter(model, model.plan(prompt="")).split([Titled(title, "text " * 600)])
    parts = [f"{each.title}\n{('text ' * 600)[each.begin : each.end]}" for each in passages]
    assert not model.count_tokens(parts).truncated.any()
    assert all(title.startswith(each.title) for each in passages)


def test_the_prompt_takes_room(model: SentenceTransformer) -> None:
    text, prompt = "word " * 2000, "a prompt of some length: " * 8
    plan = model.plan(prompt=prompt)
    (passages,) = Splitter(model, plan).split([Titled("t", text)])
    parts = [f"{each.title}\n{text[each.begin : each.end]}" for each in passages]
    assert not model.token_ids(parts, plan).truncated.any()


@pytest.mark.parametrize("overlap", [-1, 256, 10**9])
def test_too_much_overlap(model: SentenceTransformer, overlap: Any) -> None:
    with pytest.raises(ValueError, match=r"expected 0 to 255: half of what the model takes"):
        Splitter(model, model.plan(prompt=""), overlap)
