"""Folders of every layout, pooling and prompt setting, compared with sentence-transformers."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from st_reference import ENCODE, TEXTS, VOCAB, copy_into, same_vectors, write

from bge_micro import SentenceTransformer

POOLINGS = ["mean", "cls", "max", "mean_sqrt_len_tokens"]
PROMPTS = {"query": "query: ", "document": "the text - ", "other": "cats sat"}


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("include_prompt", [True, False])
def test_poolings_and_prompts(
    theirs: SimpleNamespace,
    plain_folder: Path,
    tmp_path: Path,
    pooling: str,
    normalize: bool,
    include_prompt: bool,
) -> None:
    modules = theirs.modules
    parts = [modules.Transformer(str(plain_folder))]
    parts.append(modules.Pooling(64, pooling, include_prompt=include_prompt))
    if normalize:
        parts.append(modules.Normalize())
    saved = theirs.library.SentenceTransformer(
        modules=parts,
        device="cpu",
        prompts=PROMPTS,
        default_prompt_name="other",
        similarity_fn_name="dot",
    )
    saved.save_pretrained(str(tmp_path / "model"))
    options: list[dict[str, Any]] = [
        {},
        {"prompt_name": "query"},
        {"prompt": "a mat: "},
        {"prompt": "sat"},  # it is joined to the text's first word
        {"prompt": "the " * 60},  # truncated itself
        {"prompt": ""},
        {"truncate_dim": 10},
        {"truncate_dim": 10, "normalize_embeddings": True},
        {"normalize_embeddings": True},
    ]
    calls = [*itertools.product(["encode"], options), ("encode_query", {}), ("encode_document", {})]
    same_vectors(theirs, tmp_path / "model", calls)


@pytest.mark.parametrize("prompts", [{}, {"passage": "text: "}, {"query": "", "corpus": "a"}])
def test_queries_and_documents(
    theirs: SimpleNamespace, plain_folder: Path, tmp_path: Path, prompts: dict[str, str]
) -> None:
    modules = theirs.modules
    parts = [modules.Transformer(str(plain_folder)), modules.Pooling(64)]
    saved = theirs.library.SentenceTransformer(modules=parts, device="cpu", prompts=prompts)
    saved.save_pretrained(str(tmp_path / "model"))
    calls = [("encode", {}), ("encode_query", {}), ("encode_document", {})]
    same_vectors(theirs, tmp_path / "model", calls)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("limit", [None, 12])
def test_layouts_of_older_releases(
    theirs: SimpleNamespace, plain_folder: Path, tmp_path: Path, pooling: str, limit: int | None
) -> None:
    """As releases 2 to 5 wrote: one boolean per mode, no config for Normalize, models.* classes."""
    folder = tmp_path / "old"
    copy_into(plain_folder, folder)
    classes = ("Transformer", "Pooling", "Normalize")
    paths = ("", "1_Pooling", "2_Normalize")
    write(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (kind, path) in enumerate(zip(classes, paths, strict=True))
        ],
    )
    flags = {"cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens"}
    chosen = flags.get(pooling, "mean_sqrt_len_tokens")
    write(
        folder / "1_Pooling/config.json",
        {
            "word_embedding_dimension": 64,
            **{f"pooling_mode_{name}": name == chosen for name in (*flags.values(), chosen)},
        },
    )
    write(folder / "config_sentence_transformers.json", {"__version__": {"pytorch": "1.8.1"}})
    if limit:
        settings = {"max_seq_length": limit, "do_lower_case": False}
        write(folder / "sentence_bert_config.json", settings)
    same_vectors(theirs, folder, ENCODE)


def test_transformer_in_a_subfolder(
    theirs: SimpleNamespace, plain_folder: Path, tmp_path: Path
) -> None:
    """As release 0.3 wrote."""
    copy_into(plain_folder, tmp_path / "0_Transformer")
    write(tmp_path / "0_Transformer/sentence_bert_config.json", {"max_seq_length": 20})
    kinds = ("Transformer", "Pooling")
    write(
        tmp_path / "modules.json",
        [
            {
                "idx": i,
                "name": str(i),
                "path": f"{i}_{kind}",
                "type": f"sentence_transformers.models.{kind}",
            }
            for i, kind in enumerate(kinds)
        ],
    )
    pooling = {"word_embedding_dimension": 64, "pooling_mode_cls_token": True}
    write(tmp_path / "1_Pooling/config.json", {**pooling, "pooling_mode_mean_tokens": False})
    same_vectors(theirs, tmp_path, ENCODE)


def test_a_folder_that_transformers_saved(theirs: SimpleNamespace, plain_folder: Path) -> None:
    same_vectors(theirs, plain_folder, [("encode", {}), ("encode", {"truncate_dim": 7})])


@pytest.mark.filterwarnings("ignore::bge_micro.checkpoint.errors.ModelWarning")
@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForPreTraining", "sharded"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_heads_shards_and_dtypes(
    theirs: SimpleNamespace, plain_folder: Path, tmp_path: Path, kind: str, dtype: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = theirs.transformers.BertModel.from_pretrained(plain_folder)
        if kind == "sharded":
            model, shard = whole, "100KB"
        else:
            theirs.torch.manual_seed(6)
            model, shard = getattr(theirs.transformers, kind)(whole.config), "5GB"
        model.to(getattr(theirs.torch, dtype)).save_pretrained(tmp_path, max_shard_size=shard)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((plain_folder / name).read_bytes())
    assert len(list(tmp_path.glob("*.safetensors"))) > 1 or kind != "sharded"
    # sentence-transformers would run it in 16 bits; this test compares the weights only.
    write(tmp_path / "sentence_bert_config.json", {"model_args": {"dtype": "float32"}})
    ours = SentenceTransformer(tmp_path, compute_type="float32").encode(TEXTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = theirs.library.SentenceTransformer(
            str(tmp_path), device="cpu", model_kwargs={"dtype": theirs.torch.float32}
        )
        np.testing.assert_allclose(ours, reference.encode(TEXTS), atol=1e-5)


def test_vocab_without_tokenizer_json(
    theirs: SimpleNamespace, plain_folder: Path, tmp_path: Path
) -> None:
    copy_into(plain_folder, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    write(tmp_path / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    same_vectors(theirs, tmp_path, ENCODE)
