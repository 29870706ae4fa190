"""The suite's packages are installed wherever they can be, and a skip names what is missing."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest needs it there

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
# Modules whose distribution has another name.
DISTRIBUTIONS = {
    "faiss": "faiss-cpu",
    "sqlite_vec": "sqlite-vec",
    "huggingface_hub": "huggingface-hub",
    "markdown_it": "markdown-it-py",
}
# What the light suite leaves out: gigabytes, or a long list of packages for one slow test.
HEAVY = {
    *("torch", "transformers", "sentence_transformers", "onnxscript"),
    *("scipy", "sklearn", "schemathesis"),
}


class Wanted(NamedTuple):
    """A call of pytest.importorskip."""

    place: str
    module: str
    reason: str


def wanted() -> Iterator[Wanted]:
    """Yield the packages without which tests skip; integrations have their own environments."""
    for path in sorted(TESTS.rglob("*.py")):
        folder = path.relative_to(TESTS).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith(
                "importorskip"
            ):
                continue
            named = node.args[0]
            if folder == "integrations" or not isinstance(named, ast.Constant):
                continue
            reasons = [ast.unparse(word.value) for word in node.keywords if word.arg == "reason"]
            place = f"{path.relative_to(ROOT)}:{node.lineno}"
            yield Wanted(place, str(named.value).partition(".")[0], " ".join(reasons))


def project() -> dict[str, Any]:
    """Return what pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def packages_of(extra: str) -> set[str]:
    """Return the distributions that an extra of this project names, by way of others too."""
    found = set()
    for line in project()["project"]["optional-dependencies"][extra]:
        match = re.match(r"([\w-]+)(?:\[([\w,-]+)\])?", line)
        assert match, line
        if match[1] == "bge-micro":
            found |= set().union(*map(packages_of, match[2].split(",")))
        else:
            found.add(match[1])
    return found


def test_the_extra_named_test_holds_what_tests_skip_without() -> None:
    packages = packages_of("test") | {"bench"}  # a package of the checkout
    missing = [
        found
        for found in wanted()
        if DISTRIBUTIONS.get(found.module, found.module) not in packages | HEAVY
    ]
    assert not missing
    assert {"onnxruntime", "pyarrow", "starlette", "gguf", "playwright"} <= packages


def test_a_skip_says_how_to_get_what_is_missing() -> None:
    silent = [
        found
        for found in wanted()
        if found.module not in HEAVY | {"bench"}  # their own names are what to install
        and not re.search(r"pip install|bge-micro\[", found.reason)
    ]
    assert not silent


def test_wheels_are_tested_from_the_checkout() -> None:
    """Tests read files outside tests/; a copy of some folders (test-sources) would lack them."""
    settings = project()["tool"]["cibuildwheel"]
    places = [settings, settings["macos"], settings["windows"], *settings["overrides"]]
    assert not any("test-sources" in place for place in places)
    commands = [place["test-command"] for place in places if "test-command" in place]
    for command in commands:
        for line in [command] if isinstance(command, str) else command:
            assert re.search(r"-m pytest .*\{project\}/tests", line)
    assert commands


@pytest.mark.skipif(not (ROOT / ".github").is_dir(), reason="a checkout has the workflows")
def test_workflows_run_the_whole_and_end() -> None:
    texts = {path.stem: path.read_text("utf-8") for path in ROOT.glob(".github/workflows/*.yml")}
    assert "run: .ci/run\n" in texts["ci"]
    for name, text in texts.items():
        jobs = text.count("runs-on:")
        assert text.count("timeout-minutes:") == jobs, name
        assert not re.findall(r"uses: (?!\$/)(?!.*@[0-9a-f]{40} # v)", text), name
