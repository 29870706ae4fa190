"""The sdist, the wheel built from it, and the wheel in an otherwise empty environment.

Needs a package index: for the build's requirements and the package's dependencies.
"""

from __future__ import annotations

import email
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.message import Message
from pathlib import Path, PurePosixPath

import pytest

from golden.make_digests import committed_digests, golden_texts

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = PurePosixPath("bge_micro/data/bge-micro-v2")
MEGABYTE = 1_000_000
TOP_LEVEL = {
    *(".clang-format", ".clang-tidy", ".gitignore", ".pre-commit-config.yaml"),
    *("CHANGELOG.md", "CMakeLists.txt", "CMakePresets.json", "HACKING.md", "LICENSE", "PKG-INFO"),
    *("README.md", "RELEASING.md", "SECURITY.md", "pyproject.toml"),
    *("cpp", "python", "scripts", "tests"),
}

# Lines of golden texts whose digests cover nothing but the float32 vector.
LINES = (63, 64)

# What the bare environment runs. It prints the bytes of vectors, and what it imported.
STRANGER = """
import json, sys
from bge_micro import SentenceTransformer
vectors = SentenceTransformer().encode(json.loads(sys.argv[1]))
import bge_micro
rows = [row.astype("<f4").tobytes().hex() for row in vectors]
print(json.dumps([rows, bge_micro.__file__, sorted(sys.modules)]))
"""
NETWORK_MODULES = {"socket", "ssl", "http.client", "urllib.request", "requests", "httpx"}


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command; return what it prints, or fail with what it says."""
    child = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, f"{command}\n{child.stdout[-4000:]}\n{child.stderr[-4000:]}"
    return child.stdout


def new_environment(folder: Path) -> Path:
    """Make an empty virtual environment and return its Python."""
    venv.create(folder, with_pip=True, symlinks=sys.platform != "win32")
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


@pytest.fixture(scope="module")
def build_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with pyproject.toml's build requirements."""
    folder = tmp_path_factory.mktemp("build")
    python = new_environment(folder)
    run(python, "-m", "pip", "install", "-q", "scikit-build-core", "pybind11", cwd=folder)
    return python


@pytest.fixture(scope="module")
def sdist(build_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist as a build front end would."""
    folder = tmp_path_factory.mktemp("sdist")
    code = "import sys; from scikit_build_core.build import build_sdist; build_sdist(sys.argv[1])"
    run(build_python, "-c", code, folder, cwd=REPOSITORY)
    (path,) = folder.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(build_python: Path, sdist: Path) -> Path:
    """Build the wheel from the sdist alone; pip fetches what building needs."""
    folder = sdist.parent
    run(build_python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, sdist, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel_files(wheel: Path) -> dict[str, int]:
    """Return the wheel's files and their sizes."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


@pytest.fixture(scope="module")
def metadata(wheel: Path, wheel_files: dict[str, int]) -> Message:
    """Return the wheel's METADATA."""
    (name,) = (name for name in wheel_files if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as archive:
        return email.message_from_bytes(archive.read(name))


def test_sdist_holds_the_sources_and_nothing_stray(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = [PurePosixPath(member.name) for member in archive.getmembers() if member.isfile()]
    files = {str(PurePosixPath(*name.parts[1:])) for name in names}
    top = {PurePosixPath(name).parts[0] for name in files}
    assert top == TOP_LEVEL
    assert {"cpp/engine.cpp", "tests/golden/texts.jsonl"} <= files
    assert f"python/{MODEL}/model.safetensors" in files
    stray = {
        name for name in files if PurePosixPath(name).suffix in {".so", ".pyd", ".pyc", ".onnx"}
    }
    assert not stray
    print(f"sdist: {sdist.stat().st_size / MEGABYTE:.1f} MB, {len(files)} files")


def test_wheel_holds_the_model_and_the_types(wheel: Path, wheel_files: dict[str, int]) -> None:
    source = REPOSITORY / "python"
    package = {path for path in source.rglob("*") if path.is_file() and path.suffix != ".so"}
    expected = {
        path.relative_to(source).as_posix() for path in package if path.parent.name != "__pycache__"
    }
    assert f"{MODEL}/model.safetensors" in expected
    assert "bge_micro/py.typed" in expected
    assert {"bge_micro/_core/__init__.pyi", "bge_micro/_core/kernels.pyi"} <= expected
    inside = {name for name in wheel_files if ".dist-info/" not in name}
    extension = {name for name in inside if re.fullmatch(r"bge_micro/_core\..*(so|pyd)", name)}
    assert len(extension) == 1
    assert inside - extension == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel_files)
    size = wheel.stat().st_size
    print(f"{wheel.name}: {size / MEGABYTE:.1f} MB")
    assert size < 20 * MEGABYTE


def test_wheel_needs_three_packages(metadata: Message) -> None:
    requirements = [line for line in metadata.get_all("Requires-Dist", []) if "extra" not in line]
    names = {re.split(r"[^\w-]", line)[0] for line in requirements}
    assert names == {"numpy", "tokenizers", "safetensors"}
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.10"


def test_wheel_embeds_in_a_bare_environment(wheel: Path, tmp_path: Path) -> None:
    python = new_environment(tmp_path / "bare")
    run(python, "-m", "pip", "install", "-q", wheel, cwd=tmp_path)
    # An isolated home too: no cache of a hub, no user's packages.
    texts = [golden_texts()[line] for line in LINES]
    output = run(
        *(python, "-s", "-c", STRANGER, json.dumps(texts)),
        cwd=tmp_path,
        HF_HUB_OFFLINE="1",
        HOME=str(tmp_path),
        PYTHONPATH="",
    )
    vectors, file, modules = json.loads(output)
    assert str(tmp_path) in file
    assert not NETWORK_MODULES & set(modules)
    digests = [hashlib.sha256(bytes.fromhex(vector)).hexdigest()[:16] for vector in vectors]
    assert digests == [committed_digests()["texts"]["int8"][line] for line in LINES]
