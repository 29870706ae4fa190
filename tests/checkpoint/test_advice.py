"""What is said of a model that cannot be loaded, by the class and by all commands."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bge_micro import SentenceTransformer
from bge_micro.checkpoint import CheckpointError, bundled_folder
from bge_micro.cli import main

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 17391344\n"

Say = Callable[[str], str]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SENTENCE_TRANSFORMERS_HOME", raising=False)


COMMANDS = {
    "embed": ["embed", "a", "--model"],
    "similarity": ["similarity", "a", "b", "--model"],
    "index": ["index", "a", "-o", "out", "--model"],
    "bench": ["bench", "--model"],
    "export": ["export", "out", "--model"],
    "info": ["info"],
    "convert": ["convert", "{}", "out"],
}


def by_class(name: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        SentenceTransformer(name)
    return relative(str(caught.value))


def relative(message: str) -> str:
    """Return a message without the name of the working directory, where it begins a path."""
    return message.replace(f"{Path.cwd()}{os.sep}", "")


@pytest.fixture(params=["class", *COMMANDS])
def say(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that gives what a door says of a model."""
    if request.param == "class":
        return by_class
    argv = COMMANDS[request.param]

    def by_command(name: str) -> str:
        filled = [word.format(name) for word in argv]
        code = main(filled if "{}" in argv else [*argv, name])
        assert code == 1
        out, err = capsys.readouterr()
        return relative(out + err)

    return by_command


def copy_of_the_model(name: str) -> Path:
    shutil.copytree(bundled_folder(), name)
    return Path(name)


def test_a_mistyped_name(say: Say, request: pytest.FixtureRequest) -> None:
    if "info" in request.node.callspec.id:
        pytest.skip("info takes folders only")
    copy_of_the_model("my-model")
    (Path("cache") / "models--org--bge-small").mkdir(parents=True)
    said = say("bge-mirco-v2")
    assert "sentence-transformers/bge-mirco-v2 at revision main: not in the Hugging Face" in said
    assert "(looked for cache" in said
    assert "\nThere is: bge-micro-v2 (in the package); in the folder " in said
    assert "my-model; in the cache: org/bge-small; did you mean bge-micro-v2?" in said


@pytest.mark.parametrize("name", ["./my-modle", "/no/such/modle"])
def test_a_mistyped_path(name: str) -> None:
    copy_of_the_model("my-model")
    said = by_class(name)
    first, second = said.splitlines()
    assert first == f"{Path(name)}: expected a model folder, found no folder there."
    assert second.startswith("There is: bge-micro-v2")
    assert ("my-model" in said) == name.startswith("./")


def test_a_command_says_it_in_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embed", "a", "--model", "bge-mirco-v2"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["bge-micro", "There is"]


FILES = {
    "x.onnx": "x.onnx: is an ONNX export, expected a model's folder. Make one: bge-micro convert "
    "x.onnx OUT --vocab tokenizer.json",
    "x.gguf": "x.gguf: is a GGUF file, expected a model's folder. Make one (--no-normalize if the "
    "model has no such module): bge-micro convert x.gguf OUT --normalize",
    "model.safetensors": "is a file of weights, expected a model's folder. Give its folder",
    "pytorch_model.bin": "is a file of weights pickled by PyTorch, expected a model's folder. Read",
    "x.h5": "is a file of weights of another framework, expected a model's folder.",
    "notes.txt": "notes.txt: is a file, expected a model's folder or its name.",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_named_as_what_it_is(say: Say, name: str, request: pytest.FixtureRequest) -> None:
    if "convert" in request.node.callspec.id and name in ("x.onnx", "x.gguf"):
        pytest.skip("convert takes these")
    Path(name).write_bytes(b"some bytes")
    assert FILES[name] in say(name)


@pytest.mark.parametrize(
    ("file", "advice"),
    [
        ("model.onnx", "an ONNX export. Make one: bge-micro convert 'a b/model.onnx' OUT --vocab"),
        ("onnx/model.onnx", "convert 'a b/onnx/model.onnx' OUT --vocab 'a b/tokenizer.json'"),
        ("x.gguf", "a GGUF file. Make one (--no-normalize if the model has no such module)"),
        ("pytorch_model.bin", "S('a b').save_pretrained('OUT')"),
        ("model.safetensors", "Fetch config.json, tokenizer.json and modules.json of the same"),
    ],
)
def test_a_folder_without_config(file: str, advice: str) -> None:
    path = Path("a b") / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    Path("a b/tokenizer.json").write_text("{}")
    said = by_class("a b")
    assert f"config.json: the file is missing; the folder has {file}, which is" in said
    assert advice in said


def test_a_folder_with_pickles_only(say: Say) -> None:
    folder = copy_of_the_model("old")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    said = say("old")
    assert "found only pytorch_model.bin, which is a file of weights pickled by PyTorch." in said
    assert "S('old').save_pretrained('OUT')" in said


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_pointer_of_git_lfs(say: Say, file: str) -> None:
    folder = copy_of_the_model("clone")
    (folder / "bge_micro.json").unlink()
    (folder / file).write_bytes(POINTER)
    assert f"{os.path.join('clone', file)}: is a pointer of Git LFS to the file" in say("clone")


@pytest.mark.parametrize("name", ["x.onnx", "x.gguf"])
def test_a_pointer_is_not_converted(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(name.partition(".")[2], reason="needs the extra convert or gguf")
    Path(name).write_bytes(POINTER)
    Path("vocab.txt").write_text("[UNK]\n")
    options = ["--vocab", "vocab.txt"] if name == "x.onnx" else ["--normalize"]
    assert main(["convert", name, "out", *options]) == 1
    assert f"{name}: is a pointer of Git LFS to the file" in capsys.readouterr().err
    assert f"{name}: is a pointer of Git LFS to the file" in by_class(name)


def test_a_vocabulary_that_is_a_pointer() -> None:
    folder = copy_of_the_model("clone")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_bytes(POINTER)
    assert "vocab.txt: is a pointer of Git LFS to the file" in by_class("clone")
