"""Test every integration with the real package, each group in its own environment.

    python scripts/test_integrations.py            # all groups: gigabytes, a quarter of an hour
    python scripts/test_integrations.py --light    # those that install quickly
    python scripts/test_integrations.py ray spark

A group is an extra of pyproject.toml, a file of constraints that pins heavy packages, and a file of
tests. A skipped test counts as failed here, because its package should be installed. Spark needs
Java 17. BERTopic, sentence-transformers and txtai need torch; unless pip finds a CPU build (by
PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL), on Linux it installs one with CUDA.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Group:
    """One environment."""

    name: str
    light: bool = False
    extras: tuple[str, ...] = ()  # the name, if empty
    packages: tuple[str, ...] = ()  # other packages for the tests


GROUPS = (
    Group("langchain", light=True),
    Group("llama-index", light=True),
    Group("haystack", light=True),
    Group("sklearn", light=True, packages=("pandas",)),
    Group("llm", light=True),
    Group(
        "server-clients",
        light=True,
        extras=("server-test",),
        packages=("langchain-openai", "langchain-ollama", "llama-index-embeddings-openai-like"),
    ),
    Group("chroma"),
    Group("bertopic", extras=("bertopic", "keybert")),
    Group(
        "sentence-transformers",
        extras=("sentence-transformers", "bertopic", "keybert"),
        packages=("datasets", "mteb", "pyyaml", "setfit"),
    ),
    Group("transformers", extras=("hub",), packages=("torch", "transformers")),
    Group("txtai"),
    Group("ray"),
    Group("spark"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [group.name for group in GROUPS]
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(names))
    parser.add_argument("--light", action="store_true", help="only what installs quickly")
    options = parser.parse_args()
    if unknown := set(options.groups) - set(names):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    chosen = [
        group
        for group in GROUPS
        if (group.name in options.groups or not options.groups)
        and (group.light or not options.light)
    ]
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        for group in chosen:
            begin = time.monotonic()
            passed = run_group(group, wheel, Path(folder) / group.name)
            verdict = "passed" if passed else "FAILED"
            print(f"== {group.name}: {verdict} in {time.monotonic() - begin:.0f} s", flush=True)
            if not passed:
                failed.append(group.name)
    print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def build_wheel(folder: Path) -> Path:
    """Build the package once, for all environments."""
    pip = (sys.executable, "-m", "pip")
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", folder, REPOSITORY], check=True)
    (wheel,) = folder.glob("bge_micro-*.whl")
    return wheel


def run_group(group: Group, wheel: Path, folder: Path) -> bool:
    """Install a group and run its tests, and the examples of the documentation."""
    print(f"== {group.name}", flush=True)
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    extras = ",".join(group.extras or (group.name,))
    constraints = REPOSITORY / "constraints" / f"{group.name}.txt"
    requirements = [f"{wheel}[{extras}]", *group.packages, "pytest>=8"]
    name = group.name.replace("-", "_")
    tests = [str(path) for path in sorted(REPOSITORY.glob(f"tests/integrations/test_{name}*.py"))]
    commands = (
        ["pip", "install", "-q", "-c", str(constraints), *requirements],
        ["pytest", "-q", *tests],  # fails (5) if the whole file skips
        ["pytest", "-q", "tests/api/test_code_blocks.py"],
    )
    # As if activated: Spark's workers are the python3 of PATH.
    environment = {**os.environ, "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]])}
    return all(
        subprocess.run(
            [python, "-m", *command], cwd=REPOSITORY, env=environment, check=False
        ).returncode
        == 0
        for command in commands
    )


if __name__ == "__main__":
    sys.exit(main())
