"""Which modules importing and using the package loads: none for networks, none unneeded."""

from __future__ import annotations

import importlib.metadata
import re

import pytest

from api.child import run_child

NETWORK = [
    "socket", "_socket", "ssl", "_ssl", "http", "urllib.request", "urllib3", "requests", "httpx",
    "aiohttp", "asyncio", "ftplib", "smtplib", "xmlrpc", "huggingface_hub", "hf_xet",
]  # fmt: skip
# Modules that only some features need: they are loaded when a user calls one.
LAZY = [
    "tqdm", "onnx", "onnxruntime", "torch", "transformers", "argparse", "multiprocessing",
    "pyarrow", "polars", "matplotlib", "shtab",
]  # fmt: skip

LOADED_BY = """
    import json, os, sys
    before = dict(os.environ)
    {program}
    assert dict(os.environ) == before, "os.environ was changed"
    print(json.dumps(sorted(sys.modules)))
"""


def modules_after(program: str) -> set[str]:
    """Return all modules that a new process has loaded after a program."""
    return set(run_child(LOADED_BY.format(program=program)))


def test_no_network_module_is_imported() -> None:
    use = "import bge_micro; bge_micro.SentenceTransformer().encode(['a', 'b'])"
    loaded = modules_after(use)
    base = modules_after("import numpy, tokenizers, safetensors")
    # A dependency may import one in a later release: then name it here; this package must not.
    ours = loaded - base
    assert not ours & set(NETWORK), "imported by this package itself"
    assert not base & set(NETWORK), "imported by numpy, tokenizers or safetensors"
    assert not loaded & set(LAZY)


@pytest.mark.parametrize(
    "use",
    [
        "model.encode('a query'); model.encode(['one', 'another'], threads=2)",
        "model.encode_query('a query', prompt='query: '); next(model.encode_iter(['a']))",
        "model.count_tokens('a query'); model.tokenize(['a'])",
        "from bge_micro.search import Index; Index(model).add(['a page']); ",
        "from bge_micro.cli import main; main(['embed', 'a query', '-o', os.devnull])",
    ],
)
def test_ascii_texts_need_no_tokenizers(use: str) -> None:
    load = "from bge_micro import SentenceTransformer; model = SentenceTransformer(); "
    loaded = modules_after(load + use)
    assert not loaded & {"tokenizers", "safetensors"}


def test_other_texts_are_read_by_tokenizers() -> None:
    load = "from bge_micro import SentenceTransformer; model = SentenceTransformer(); "
    assert "tokenizers" in modules_after(load + "model.encode('Ünïcode')")


def test_a_folder_of_safetensors_loads_without_the_converters() -> None:
    use = "from bge_micro import SentenceTransformer, checkpoint; "
    loaded = modules_after(use + "SentenceTransformer(checkpoint.bundled_folder()).encode('a')")
    assert not [name for name in loaded if name.startswith("bge_micro.convert")]


def test_the_import_alone_is_clean_too() -> None:
    loaded = modules_after("import bge_micro; bge_micro.__version__")
    assert "bge_micro" in loaded
    assert not loaded & {*NETWORK, *LAZY}


def test_direct_dependencies() -> None:
    requirements = importlib.metadata.requires("bge-micro") or []
    names = {
        re.match(r"[\w-]+", line).group()  # type: ignore[union-attr]
        for line in requirements
        if "extra ==" not in line
    }
    assert names == {"numpy", "tokenizers", "safetensors"}


def test_version() -> None:
    import bge_micro

    assert bge_micro.__version__ == importlib.metadata.version("bge-micro")
