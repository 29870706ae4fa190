"""`bge-micro convert`: folders and ONNX exports, through the functions of bge_micro.convert."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from api.tiny_model import CONFIG, VOCAB, tiny_tensors, write_tiny_model
from bge_micro import SentenceTransformer
from bge_micro.checkpoint import load_folder
from bge_micro.convert.onnx_writer import write_onnx
from bge_micro.search.space import OFFICIAL_WEIGHTS
from official_export import official_export

from .conftest import Run


@pytest.fixture
def export(tmp_path: Path) -> tuple[str, str]:
    """Write a small made-up ONNX export and its vocabulary, and return their names."""
    pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")
    with (tmp_path / "model.onnx").open("wb") as file:
        write_onnx(file, tiny_tensors(), CONFIG, "mean", normalize=False)
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    return "model.onnx", "vocab.txt"


def test_export_and_folder(run: Run, tmp_path: Path, export: tuple[str, str]) -> None:
    onnx, vocab = export
    result = run("convert", onnx, "int8", "--vocab", vocab)
    assert (result.code, result.out, result.err) == (0, "int8: written\n", "")
    side_file = load_folder(tmp_path / "int8").side_file
    assert side_file is not None
    assert side_file.source["repo_id"] == side_file.source["revision"] == "unknown"
    vectors = SentenceTransformer(tmp_path / "int8").encode(["a b", "c"])

    assert run("convert", "int8", "float32", "--compute-type", "float32").code == 0
    weights = load_folder(tmp_path / "float32").tensors
    assert weights["encoder.layer.0.output.dense.weight"].dtype == np.float32

    assert run("convert", "int8", "again").code == 0
    again = SentenceTransformer(tmp_path / "again").encode(["a b", "c"])
    assert again.tobytes() == vectors.tobytes()


def test_facts_for_the_record(run: Run, tmp_path: Path, export: tuple[str, str]) -> None:
    onnx, vocab = export
    facts = ("--repo-id", "some/model", "--revision", "v1")
    more = ("--vocab", vocab, "--pooling", "cls", "--normalize")
    assert run("convert", onnx, "out", *more, *facts).code == 0
    checkpoint = load_folder(tmp_path / "out")
    assert (checkpoint.pooling, checkpoint.normalize) == ("cls", True)
    assert run("convert", "out", "copy", *facts).code == 0
    for name in ("out", "copy"):
        source = json.loads((tmp_path / name / "bge_micro.json").read_text())["source"]
        assert (source["repo_id"], source["revision"]) == ("some/model", "v1")


def test_a_tokenizer_and_a_limit(run: Run, tmp_path: Path, export: tuple[str, str]) -> None:
    write_tiny_model(tmp_path / "tiny")
    more = ("--vocab", "tiny/tokenizer.json", "--max-seq-length", "9")
    assert run("convert", export[0], "out", *more).code == 0
    assert load_folder(tmp_path / "out").max_seq_length == 9
    result = run("convert", export[0], "more", "--vocab", export[1], "--max-seq-length", "0")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("bge-micro: error: max_seq_length is 0, expected 3 to ")


def test_nothing_is_overwritten(run: Run, tmp_path: Path, export: tuple[str, str]) -> None:
    onnx, vocab = export
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    before = sorted(tmp_path.rglob("*"))
    result = run("convert", onnx, "out", "--vocab", vocab)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "bge-micro: error: out: exists and is not an empty folder; remove it first.\n"
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_official_refuses_another_export(run: Run, export: tuple[str, str]) -> None:
    onnx, vocab = export
    result = run("convert", onnx, "out", "--vocab", vocab, "--official")
    assert result.code == 1
    assert result.err.startswith("bge-micro: error: model.onnx: sha256 is ")
    assert "expected ed65e36025aa94cb" in result.err


def test_official(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")
    shared = official_export()
    source, vocab = str(shared / "model_quantized.onnx"), str(shared / "vocab.txt")
    assert run("convert", source, "out", "--vocab", vocab, "--official").code == 0
    checkpoint = load_folder(tmp_path / "out")
    assert checkpoint.side_file is not None
    assert checkpoint.side_file.source["repo_id"] == "TaylorAI/bge-micro-v2"
    assert checkpoint.weights_sha256().startswith(OFFICIAL_WEIGHTS)


def test_offsets(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")
    from quantised_export import offsets_of, write_offsets, write_quantised_export

    tensors = tiny_tensors()
    cells = write_quantised_export(tmp_path / "model.onnx", tensors, CONFIG)
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB) + "\n")
    write_offsets(tmp_path / "o.safetensors", offsets_of(tensors, cells), tmp_path / "model.onnx")
    given = ("convert", "model.onnx", "out", "--vocab", "vocab.txt", "--offsets", "o.safetensors")
    assert run(*given, "--compute-type", "float32").code == 0
    found = load_folder(tmp_path / "out").tensors["embeddings.word_embeddings.weight"]
    expected = tensors["embeddings.word_embeddings.weight"]
    assert np.abs(found - expected).max() < np.abs(expected).max() / 20_000
    result = run(*given, "--official")
    assert (result.code, result.out) == (2, "")
    assert "--offsets makes another model than --official does" in result.err


def test_missing_extra(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "model.onnx").write_bytes(b"")
    (tmp_path / "vocab.txt").write_text("a\n")
    result = run("convert", "model.onnx", "out", "--vocab", "vocab.txt")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "bge-micro: error: ONNX files need the onnx package; "
        "install it with: pip install 'bge-micro[convert]'\n"
    )


@pytest.mark.parametrize("missing", ["model.onnx", "vocab.txt"])
def test_missing_files(run: Run, tmp_path: Path, export: tuple[str, str], missing: str) -> None:
    onnx, vocab = export
    (tmp_path / missing).unlink()
    result = run("convert", onnx, "out", "--vocab", vocab)
    assert result.code == 1
    assert result.err.startswith(f"bge-micro: error: {missing}: ")
    assert not (tmp_path / "out").exists()


def test_calibration(run: Run, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny")
    (tmp_path / "texts.txt").write_text("a b c\nd e f g\n\nh. a, b\n")
    assert run("convert", "tiny", "out", "--calibrate", "texts.txt").code == 0
    tensors = load_folder(tmp_path / "out").tensors
    assert "encoder.layer.1.output.dense.input_factor" in tensors
    result = run("convert", "out", "again", "--calibrate", "texts.txt")
    assert result.code == 1
    assert "in int8 already" in result.err
    result = run("convert", "tiny", "f", "--calibrate", "texts.txt", "--compute-type", "float32")
    assert "nothing to calibrate" in result.err
    (tmp_path / "texts.txt").write_text("\n \n")
    assert "holds no texts" in run("convert", "tiny", "more", "--calibrate", "texts.txt").err


def test_export_of_the_bundled_model(run: Run, tmp_path: Path) -> None:
    assert run("export", "folder").out == "folder: written\n"
    text = ["one text", "and another one"]
    expected = SentenceTransformer(compute_type="float32").encode(text)
    found = SentenceTransformer(tmp_path / "folder", compute_type="float32").encode(text)
    np.testing.assert_allclose(
        found, expected, atol=2e-6
    )  # words times scale are rounded once more
    assert run("export", "folder").code == 1


def test_export_to_onnx(run: Run, tmp_path: Path) -> None:
    runtime = pytest.importorskip(
        "onnxruntime", reason="needs onnxruntime, the reference: pip install '.[test]'"
    )
    pytest.importorskip("onnx", reason="ONNX files need the extra bge-micro[convert]")
    assert run("export", "out.onnx").code == 0
    session = runtime.InferenceSession(str(tmp_path / "out.onnx"))
    model = SentenceTransformer(compute_type="float32")
    texts = ["one text", "and another one, of more tokens"]
    theirs = session.run(["sentence_embedding"], dict(model.tokenize(texts)))[0]
    assert np.abs(theirs - model.encode(texts)).max() < 1e-4
    assert "exists already" in run("export", "out.onnx").err
    assert run("export", "x.onnx", "--format", "folder").code == 2


def test_gguf_must_say_about_normalisation(run: Run, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"")
    result = run("convert", "model.gguf", "out")
    assert result.code == 2
    assert "--normalize" in result.err
    assert run("convert", "model.gguf", "out", "--normalize", "--vocab", "v").code == 2
