"""The commands in the README and the documentation are valid, and print what the pages show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bge_micro.cli import build_parser
from cli.conftest import Run

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"
PAGES = [README, *sorted((REPOSITORY / "docs").glob("**/*.md"))]
pytestmark = pytest.mark.skipif(not README.is_file(), reason="needs a checkout: reads its pages")


def commands(text: str) -> list[list[str]]:
    """Return the arguments of each call of bge-micro in a page's shell blocks."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            words = shlex.shlex(line, posix=True, punctuation_chars=True)
            words.whitespace_split = True
            call: list[str] | None = None
            first = True
            for word in words:
                if set(word) <= set("&|;<>"):
                    call, first = None, word not in ("<", ">")
                elif call is not None:
                    call.append(word)
                elif first and Path(word).name == "bge-micro":
                    found.append(call := [])
                    first = False
                else:
                    first = False
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_valid(page: Path) -> None:
    for arguments in commands(page.read_text(encoding="utf-8")):
        build_parser().parse_args(arguments)  # raises UsageError


def test_there_are_commands() -> None:
    assert len([call for page in PAGES for call in commands(page.read_text("utf-8"))]) > 15


def test_the_first_command_prints_what_the_readme_shows(run: Run) -> None:
    text = README.read_text(encoding="utf-8")
    shown = re.search(r"^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert shown
    result = run(*commands(text)[0])
    printed = [line.split("\t") for line in result.out.splitlines()]
    expected = [line.split("\t") for line in shown.group(1).splitlines()]
    assert [row[1:] for row in printed] == [row[1:] for row in expected]
    for one, other in zip(printed, expected, strict=True):
        assert float(one[0]) == pytest.approx(float(other[0]), abs=1e-5)
