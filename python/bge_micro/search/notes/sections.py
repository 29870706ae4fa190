"""The sections of a note: the text below each heading."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

from bge_micro.search.notes.extra import import_extra


class Section(NamedTuple):
    """A part of a note.

    Attributes:
        headings: The section's heading and those above it, outermost first.
        line: The number of the first line, from 1: the heading's.
        text_line: The number of the text's first line.
        text: What is below the heading.
    """

    headings: tuple[str, ...]
    line: int
    text_line: int
    text: str


def markdown_sections(text: str, first_line: int = 1) -> list[Section]:
    """Return the sections of Markdown text in order.

    A section without text is left out if another one is below its heading, whose path names it.
    Headings in quotes and lists are text.

    Args:
        text: The text, without front matter.
        first_line: The number of its first line in the note.

    Raises:
        ImportError: markdown-it-py is not installed.
    """
    lines = text.split("\n")
    found = _headings(text)
    begin = found[0][0] if found else len(lines)
    sections = [Section((), first_line, first_line, "\n".join(lines[:begin]))]
    path: list[tuple[int, str]] = []
    for number, (begin, end, level, heading) in enumerate(found):
        path = [each for each in path if each[0] < level] + [(level, heading)]
        following = found[number + 1] if number + 1 < len(found) else None
        body = "\n".join(lines[end : following[0] if following else len(lines)])
        if not body.strip() and following and following[2] > level:
            continue
        headings = tuple(title for _, title in path)
        sections.append(Section(headings, first_line + begin, first_line + end, body))
    return sections if sections[0].text.strip() else sections[1:]


def _headings(text: str) -> list[tuple[int, int, int, str]]:
    """Return each heading's first line from 0, the line behind it, its level and its text."""
    tokens = _parser().parse(text)
    return [
        (*token.map, int(token.tag[1:]), " ".join(inline.content.split()))
        for token, inline in pairwise(tokens)
        if token.type == "heading_open" and token.level == 0
    ]


@cache
def _parser() -> Any:
    """Return a parser of blocks; what is inside of lines is left as it is."""
    markdown_it = import_extra("markdown_it", "Markdown")
    parser = markdown_it.MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser
