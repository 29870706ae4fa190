"""`bge-micro embed` to safetensors and Parquet, read back by the packages that own the formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from bge_micro import SentenceTransformer
from bge_micro.vector_files import VectorFileError, parquet, read_vectors

from .conftest import Run
from .test_cli_embed_output import OPTIONS, TEXTS

needs_arrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra bge-micro[arrow]")


@pytest.mark.parametrize(("argv", "options"), OPTIONS)
def test_safetensors(run: Run, tmp_path: Path, model: SentenceTransformer, argv, options) -> None:
    expected = model.encode(TEXTS, **options)
    result = run("embed", *TEXTS, *argv, "--batch-size", "4", "-o", "v.safetensors")
    assert (result.code, result.out, result.err) == (0, "", "")
    with safe_open(tmp_path / "v.safetensors", "numpy") as file:
        assert list(file.keys()) == ["embeddings"]
        assert file.metadata() == {"space_id": model.space_id_of(**options)}
        vectors = file.get_tensor("embeddings")
    assert (vectors.dtype, vectors.shape) == (expected.dtype, expected.shape)
    assert vectors.tobytes() == expected.tobytes()
    raw = (tmp_path / "v.safetensors").read_bytes()
    assert (8 + int.from_bytes(raw[:8], "little")) % 64 == 0  # may be mapped as it is


@pytest.mark.parametrize("with_text", [False, True])
@pytest.mark.parametrize(("argv", "options"), OPTIONS)
def test_parquet(
    run: Run, tmp_path: Path, model: SentenceTransformer, monkeypatch, argv, options, with_text
) -> None:
    from pyarrow import parquet as reader

    monkeypatch.setattr(parquet, "_GROUP_ROWS", 5)
    extra = ["--with-text"] if with_text else []
    result = run("embed", *TEXTS, *argv, *extra, "--batch-size", "2", "-o", "v.parquet")
    assert (result.code, result.out, result.err) == (0, "", "")
    expected = model.encode(TEXTS, **options)
    table = reader.read_table(tmp_path / "v.parquet")
    assert table.column_names == ["index", *(["text"] if with_text else []), "embedding"]
    assert table["index"].to_pylist() == list(range(len(TEXTS)))
    assert not with_text or table["text"].to_pylist() == TEXTS
    vectors = np.array(table["embedding"].to_pylist(), expected.dtype)
    assert vectors.tobytes() == expected.tobytes()
    groups = reader.ParquetFile(tmp_path / "v.parquet").metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [5, 1]


@pytest.mark.parametrize("ending", ["npz", "safetensors", "parquet"])
def test_what_is_written_can_be_read(
    run: Run, tmp_path: Path, model: SentenceTransformer, ending: str
) -> None:
    for texts in (TEXTS, []):
        stdin = "".join(f"{text}\n" for text in texts).encode()
        assert run("embed", "-", "-o", f"v.{ending}", stdin=stdin).code == 0
        saved = read_vectors(tmp_path / f"v.{ending}")
        assert saved.space_id == model.space_id
        assert saved.vectors.shape == (len(texts), 384)
        assert saved.vectors.tobytes() == model.encode(texts).tobytes()


@pytest.mark.parametrize("name", ["v.npz", "v.safetensors", "v.parquet", "v.npy"])
def test_what_is_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"v\."):
        read_vectors(tmp_path / name)
    np.savez(tmp_path / "other.npz", vectors=np.ones(3))
    with pytest.raises(VectorFileError, match="holds no vectors with a space id"):
        read_vectors(tmp_path / "other.npz")


@pytest.mark.parametrize("ending", ["npy", "npz", "safetensors", "parquet", "jsonl"])
def test_equal_runs_make_equal_files(run: Run, tmp_path: Path, ending: str) -> None:
    for name in ("a", "b"):
        assert run("embed", *TEXTS, "-o", f"{name}.{ending}").code == 0
    first, second = (tmp_path / f"{name}.{ending}" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
