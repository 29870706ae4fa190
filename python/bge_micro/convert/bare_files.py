"""Convert files with an encoder only, ONNX exports and GGUF files, to our own format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bge_micro.checkpoint.advice import refuse_pointer_file
from bge_micro.checkpoint.config import EncoderConfig
from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.modules import ModelSettings
from bge_micro.checkpoint.side_file import file_sha256
from bge_micro.checkpoint.tensors import Tensors
from bge_micro.convert.convert import check_options, in_compute_type
from bge_micro.convert.folder_writer import FolderContents, License, write_folder
from bge_micro.convert.gguf_reader import read_gguf
from bge_micro.convert.offsets import add_offsets
from bge_micro.convert.onnx_reader import read_onnx
from bge_micro.convert.provenance import readme
from bge_micro.tokenization import Tokenizer, read_tokenizer, read_vocab, uncased_tokenizer

# Fewer rows than this may follow the vocabulary's in a table of words: their number is often
# rounded up to a multiple of a power of two.
_PADDING_ROWS = 1024


def convert_onnx(
    onnx_path: str | Path,
    vocab_path: str | Path,
    out_folder: str | Path,
    *,
    repo_id: str,
    revision: str,
    repo_file: str | None = None,
    pooling: str | None = None,
    normalize: bool | None = None,
    max_seq_length: int | None = None,
    license: License | None = None,
    compute_type: str = "int8",
    calibration_texts: Sequence[str] | None = None,
    offsets_path: str | Path | None = None,
) -> Path:
    """Convert an ONNX export of a BERT encoder, in floats or dynamically quantised.

    Quantised linear layers keep exactly the export's integers, unless their zero points are not in
    the middle; an export's one scale per matrix is repeated for every output channel. With offsets
    the model has their float weights.

    Args:
        onnx_path: The export.
        vocab_path: The model's tokenizer.json; or its vocab.txt, from which a tokenizer as for BERT
            uncased is made.
        out_folder: Where to; must not exist, or be an empty folder.
        repo_id: The repository the export came from, for the record.
        revision: Its revision, for the record.
        repo_file: The export's path in the repository; None for its file name.
        pooling: How the model pools, one of `POOLINGS`; None for what the export computes, or mean
            if it gives token embeddings only.
        normalize: Whether the model gives its vectors unit length; None for what the export
            computes, or no if it gives token embeddings only.
        max_seq_length: Tokens of a text that are used; None for all the model's positions.
        license: License of the weights.
        compute_type: As for `convert_folder`.
        calibration_texts: As for `convert_folder`.
        offsets_path: A file with each original weight's place in its cell of the export; see
            `bge_micro.convert.offsets`.

    Returns:
        The folder.

    Raises:
        ImportError: The onnx package is not installed.
        MissingFileError: A file is missing.
        CheckpointError: The export is not of the expected kind, its outputs are computed in a way
            that is not supported, or vocabulary or offsets are not its own.
        ValueError: An option is unknown or out of range, contradicts the export, or the vocabulary
            is malformed.
        FileExistsError: There is something at `out_folder` already.
    """
    onnx_path, vocab_path = Path(onnx_path), Path(vocab_path)
    check_options(pooling, compute_type)
    refuse_pointer_file(vocab_path)
    model = read_onnx(onnx_path)
    pooled = model.outputs.choose(pooling, normalize)
    config = model.config
    source = {
        "repo_id": repo_id,
        "revision": revision,
        "file": repo_file or onnx_path.name,
        "sha256": file_sha256(onnx_path),
        "vocab_sha256": file_sha256(vocab_path),
    }
    if offsets_path is not None:
        offsets_path = Path(offsets_path)
        model = add_offsets(model, onnx_path, offsets_path)
        source |= {"offsets_file": offsets_path.name, "offsets_sha256": file_sha256(offsets_path)}
    if vocab_path.suffix == ".json":
        tokenizer = _tokenizer_of_file(vocab_path, config)
    else:
        tokenizer = _tokenizer_of_vocab(read_vocab(vocab_path), config, vocab_path)
    contents = _contents_of_file(
        config, model.tensors, tokenizer, *pooled, max_seq_length, source, license
    )
    return write_folder(out_folder, in_compute_type(contents, compute_type, calibration_texts))


def convert_gguf(
    gguf_path: str | Path,
    out_folder: str | Path,
    *,
    normalize: bool,
    pooling: str | None = None,
    max_seq_length: int | None = None,
    repo_id: str | None = None,
    revision: str | None = None,
    compute_type: str = "int8",
    calibration_texts: Sequence[str] | None = None,
) -> Path:
    """Convert a GGUF file of a BERT encoder.

    Args:
        gguf_path: The file; F32, F16, BF16 or Q8_0.
        out_folder: Where to; must not exist, or be an empty folder.
        normalize: Whether the model gives its vectors unit length, that is, whether it has a
            Normalize module; the file does not say.
        pooling: One of `POOLINGS`; None for what the file says.
        max_seq_length: As for `convert_onnx`.
        repo_id: The repository the file came from, for the record.
        revision: Its revision, for the record.
        compute_type: As for `convert_folder`.
        calibration_texts: As for `convert_folder`.

    Returns:
        The folder.

    Raises:
        ImportError: The gguf package is not installed.
        CheckpointError: The file is damaged or holds another kind of model.
        ValueError: An option is unknown, or the pooling is not known.
        FileExistsError: There is something at `out_folder` already.
    """
    gguf_path = Path(gguf_path)
    model = read_gguf(gguf_path)
    if pooling is None and model.pooling is None:
        raise ValueError(f"{gguf_path}: the file does not say how the model pools; say pooling.")
    pooling = pooling or str(model.pooling)
    check_options(pooling, compute_type)
    source = {"file": gguf_path.name, "sha256": file_sha256(gguf_path)}
    source |= {"repo_id": repo_id} if repo_id else {}
    source |= {"revision": revision} if revision else {}
    tokenizer = _tokenizer_of_vocab(model.vocab, model.config, gguf_path)
    contents = _contents_of_file(
        model.config, model.tensors, tokenizer, pooling, normalize, max_seq_length, source, None
    )
    return write_folder(out_folder, in_compute_type(contents, compute_type, calibration_texts))


def _contents_of_file(
    config: EncoderConfig,
    tensors: Tensors,
    tokenizer: dict[str, Any],
    pooling: str,
    normalize: bool,
    limit: int | None,
    source: dict[str, str],
    license: License | None,
) -> FolderContents:
    """Return the contents for a file that holds a bare encoder; limit None is all positions."""
    if limit is None:
        limit = config.max_tokens
    if not 3 <= limit <= config.max_tokens:
        raise ValueError(
            f"max_seq_length is {limit}, expected 3 to {config.max_tokens}, the model's positions."
        )
    return FolderContents(
        config=config,
        tensors=tensors,
        tokenizer=tokenizer,
        pooling=pooling,
        include_prompt=True,
        dense=(),
        normalize=normalize,
        max_seq_length=limit,
        settings=ModelSettings({}, None, "cosine", None),
        source=source,
        readme=readme(source, license),
        license=license,
    )


def _tokenizer_of_file(path: Path, config: EncoderConfig) -> dict[str, Any]:
    contents = read_tokenizer(path)
    tokenizer = Tokenizer.from_json(json.dumps(contents), source=str(path))
    _check_vocab(path, tokenizer.max_id + 1, config)
    return contents


def _tokenizer_of_vocab(vocab: list[str], config: EncoderConfig, where: Path) -> dict[str, Any]:
    _check_vocab(where, len(vocab), config)
    return uncased_tokenizer(vocab)


def _check_vocab(where: Path, tokens: int, config: EncoderConfig) -> None:
    """Refuse the vocabulary of another model."""
    if not 0 <= config.vocab - tokens < _PADDING_ROWS:
        raise CheckpointError(
            f"{where}: gives ids up to {tokens - 1}, but the model embeds {config.vocab} tokens; "
            "expected the same model's vocabulary."
        )
