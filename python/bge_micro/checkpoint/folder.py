"""Load a model folder: our own, or one saved by sentence-transformers or transformers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bge_micro.checkpoint.advice import (
    no_config,
    not_a_folder,
    refuse_pointer_file,
    what_is_there,
)
from bge_micro.checkpoint.config import EncoderConfig, read_config
from bge_micro.checkpoint.dense import Dense, read_dense
from bge_micro.checkpoint.errors import CheckpointError, MissingFileError, ModelWarning
from bge_micro.checkpoint.families import Family
from bge_micro.checkpoint.file_content import FileContent
from bge_micro.checkpoint.json_file import read_json_object
from bge_micro.checkpoint.modules import (
    engine_folder,
    read_model_settings,
    read_modules,
    read_transformer_settings,
)
from bge_micro.checkpoint.side_file import SideFile, read_side_file
from bge_micro.checkpoint.tensors import TOKEN_TYPES, Tensors, read_tensors, zero_token_types
from bge_micro.checkpoint.tokenizer_files import Normalizer, read_tokenizer_facts
from bge_micro.checkpoint.weight_files import open_weights
from bge_micro.choices import SimilarityFunction, Task

if TYPE_CHECKING:
    from bge_micro.checkpoint.reranker import Scores


class Checkpoint(NamedTuple):
    """The checked contents of a model folder.

    Attributes:
        folder: The folder.
        config: The encoder's sizes.
        tensors: Read-only arrays under their BERT names, as `tensors.read_tensors` describes.
        pooling: "mean", "cls", "max" or "mean_sqrt_len_tokens".
        include_prompt: Whether a prompt's tokens are pooled with the text's.
        dense: The linear layers after the pooling, in order; of a reranker its classifier's.
        normalize: Whether the model gives its vectors unit length.
        max_seq_length: Tokens of a text that are used, [CLS] and [SEP] included.
        tokenizer_file: tokenizer.json, or vocab.txt if the folder has only that.
        normalizer: A normalizer that replaces the tokenizer's, because other files of the folder
            say so; None to keep the tokenizer's.
        prompts: Texts to put before a text, by name.
        default_prompt_name: The prompt used if the caller names none; None for no prompt.
        similarity_fn_name: "cosine", "dot", "euclidean" or "manhattan"; None if not given.
        truncate_dim: The length to which the model cuts its vectors; None for full length.
        scores: What a reranker's vectors, its logits, mean; None for models that give vectors.
        side_file: The facts of bge_micro.json; None in folders without it.
        weight_files: The files the tensors came from, as they were loaded; those of `dense` last.
    """

    folder: Path
    config: EncoderConfig
    tensors: Tensors
    pooling: str
    include_prompt: bool
    dense: tuple[Dense, ...]
    normalize: bool
    max_seq_length: int
    tokenizer_file: Path
    normalizer: Normalizer | None
    prompts: dict[str, str]
    default_prompt_name: str | None
    similarity_fn_name: SimilarityFunction | None
    truncate_dim: int | None
    scores: Scores | None
    side_file: SideFile | None
    weight_files: tuple[FileContent, ...]

    @property
    def dimensions(self) -> int:
        """The length of the vectors, before they are truncated."""
        return self.dense[-1].out_features if self.dense else self.config.hidden

    def weights_sha256(self) -> str:
        """Return the SHA-256 of the weight file; of several files, that of their checksums.

        It is that of the bytes that were loaded, not of a file that has replaced theirs since, and
        not what bge_micro.json says.
        """
        digests = [file.sha256() for file in self.weight_files]
        if len(digests) == 1:
            return digests[0]
        import hashlib  # as in FileContent.sha256

        return hashlib.sha256("".join(digests).encode("ascii")).hexdigest()


class Weights(NamedTuple):
    """A model's weights.

    Attributes:
        tensors: The encoder's, by their BERT names.
        head: The layers of a reranker after the encoder; none if they were not asked for.
        files: The files that they are from, as they were loaded.
    """

    tensors: Tensors
    head: tuple[Dense, ...]
    files: tuple[FileContent, ...]


# Takes the folder of the encoder and its sizes.
WeightReader = Callable[[Path, EncoderConfig], Weights]


def load_folder(
    path: str | Path,
    *,
    mmap: bool = False,
    read_weights: WeightReader | None = None,
    task: Task = "vectors",
) -> Checkpoint:
    """Load and check a model folder.

    Args:
        path: The folder.
        mmap: Map the weights instead of reading them. Memory is then shared between processes and
            read on first use; but if another process cuts the file short meanwhile, the operating
            system ends this process with SIGBUS. Use it for folders that no program rewrites.
        read_weights: Reads weights in another format than safetensors.
        task: "vectors" for an encoder, "scores" for a reranker.

    Returns:
        The checked contents.

    Raises:
        MissingFileError: The folder or a file that it needs is missing.
        CheckpointError: A file is damaged, or describes a model this engine cannot run.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise MissingFileError(_no_folder(folder, path))
    engine = engine_folder(folder)
    if engine is None:
        return _load(folder, mmap, read_weights, task)
    # The settings are those of the model around the module.
    return _load(engine, mmap, read_weights, task)._replace(**read_model_settings(folder)._asdict())


def _no_folder(folder: Path, given: str | Path) -> str:
    if folder.is_file():
        return not_a_folder(folder, given)
    return f"{given}: expected a model folder, found no folder there.\n{what_is_there(str(given))}"


def _load(folder: Path, mmap: bool, read_weights: WeightReader | None, task: Task) -> Checkpoint:
    side_file = read_side_file(folder)
    settings = read_model_settings(folder, task)
    modules = read_modules(folder)
    transformer_settings = read_transformer_settings(modules.transformer, task)
    if not (modules.transformer / "config.json").exists():
        raise MissingFileError(no_config(modules.transformer))
    family, config = read_config(modules.transformer / "config.json")
    if task == "vectors" and not (folder / "modules.json").exists():
        _warn_of_another_task(modules.transformer / "config.json")
    if modules.dimension not in (None, config.hidden):
        raise CheckpointError(
            f"{folder}: the pooling is set up for vectors of {modules.dimension} features, "
            f"but config.json says hidden_size {config.hidden}."
        )
    tokenizer = read_tokenizer_facts(
        modules.transformer, transformer_settings, config.max_tokens, family.tokenizer_class
    )
    refuse_pointer_file(tokenizer.file)
    if read_weights is None:
        weights = _read_safetensors(modules.transformer, family, config, mmap, task)
    else:
        weights = read_weights(modules.transformer, config)
    dense = list(weights.head)
    for module in modules.dense:
        dense.append(read_dense(module, dense[-1].out_features if dense else config.hidden))
    scores = None
    if task == "scores":
        from bge_micro.checkpoint.reranker import read_scores

        scores = read_scores(folder, modules.transformer, dense[-1].out_features)
    return Checkpoint(
        folder=folder,
        config=config,
        tensors=weights.tensors,
        pooling="cls" if task == "scores" else modules.pooling,
        include_prompt=modules.include_prompt,
        dense=tuple(dense),
        normalize=modules.normalize,
        max_seq_length=tokenizer.limit,
        tokenizer_file=tokenizer.file,
        normalizer=tokenizer.normalizer,
        prompts=settings.prompts,
        default_prompt_name=settings.default_prompt_name,
        similarity_fn_name=settings.similarity_fn_name,
        truncate_dim=settings.truncate_dim,
        scores=scores,
        side_file=side_file,
        weight_files=tuple(dict.fromkeys([*weights.files, *(layer.file for layer in dense)])),
    )


def _warn_of_another_task(path: Path) -> None:
    """Warn if a folder without sentence-transformers' files was made for something else."""
    named = read_json_object(path).get("architectures")
    classes = [str(each) for each in named] if isinstance(named, list) else []
    if classes and not any(each.endswith("Model") for each in classes):
        reranker = any(each.endswith("ForSequenceClassification") for each in classes)
        hint = " If it is a reranker, CrossEncoder loads it." if reranker else ""
        warnings.warn(
            f"{path} says that the model is a {', '.join(classes)}, and without modules.json it is "
            "pooled by the mean, as sentence-transformers does; such vectors are seldom of use."
            + hint,
            ModelWarning,
            stacklevel=2,
        )


def _read_safetensors(
    transformer: Path, family: Family, config: EncoderConfig, mmap: bool, task: Task
) -> Weights:
    weights = open_weights(transformer, family, mmap=mmap)
    stored = dict(weights.tensors)
    if not family.token_types:
        stored.setdefault(TOKEN_TYPES, zero_token_types(config))
    tensors = read_tensors(stored, config, weights.description)
    head: tuple[Dense, ...] = ()
    if task == "scores":
        from bge_micro.checkpoint.reranker import read_head  # encoders need none of it

        head = read_head(weights.others, family, config, weights.description)
    for content in {each.file.content for each in weights.tensors.values() if each.is_widened}:
        content.release()  # copies in float32 are used instead
    return Weights(tensors, head, weights.files)
