"""Read sentence-transformers' files beside the encoder: pooling, limits, prompts."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from bge_micro.checkpoint.errors import CheckpointError
from bge_micro.checkpoint.json_file import json_type, read_json, read_json_object
from bge_micro.choices import POOLINGS, SIMILARITY_FUNCTIONS, SimilarityFunction, Task

# Before 5.4 each mode had its own boolean in 1_Pooling/config.json.
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}

# Arguments of a tokenizer that are obeyed, and those that change no token of a single text.
_TOKENIZER_FIELDS = (
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
    "model_max_length",
    "tokenizer_class",
)
_WITHOUT_EFFECT = (
    "use_fast",
    "trust_remote_code",
    "local_files_only",
    "clean_up_tokenization_spaces",
    "padding",
    "padding_side",
    "pad_to_multiple_of",
    "truncation",
)

# Settings of Transformer that change the model's tokens; they are empty in most models.
_TRANSFORMER_EXTRAS = ("processing_kwargs", "query_length", "document_length", "query_expansion")

# For each task, the class of sentence-transformers and transformers' name of the task.
_CLASSES: dict[Task, str] = {"vectors": "SentenceTransformer", "scores": "CrossEncoder"}
_TASK_NAMES: dict[Task, str] = {
    "vectors": "feature-extraction",
    "scores": "sequence-classification",
}

# The one module of a model that `integrations.sentence_transformers` saved.
_ENGINE_TYPE = "bge_micro.integrations.sentence_transformers.Engine"


class Modules(NamedTuple):
    """The modules of a sentence-transformers model.

    Attributes:
        transformer: The folder that holds config, weights and tokenizer.
        pooling: One of `POOLINGS`.
        include_prompt: Whether a prompt's tokens are pooled with the text's.
        dense: The folders of the Dense modules, in order.
        normalize: Whether vectors get unit length.
        dimension: The size of the vectors that the pooling expects; None if not given.
    """

    transformer: Path
    pooling: str
    include_prompt: bool
    dense: tuple[Path, ...]
    normalize: bool
    dimension: int | None


class TransformerSettings(NamedTuple):
    """What sentence_bert_config.json sets.

    Attributes:
        max_seq_length: The token limit; None if not set.
        do_lower_case: Whether texts are lowercased before they are tokenized.
        tokenizer: Fields that replace those of tokenizer_config.json.
    """

    max_seq_length: int | None
    do_lower_case: bool
    tokenizer: dict[str, Any]


class ModelSettings(NamedTuple):
    """What config_sentence_transformers.json sets for the whole model (None: not set)."""

    prompts: dict[str, str]
    default_prompt_name: str | None
    similarity_fn_name: SimilarityFunction | None
    truncate_dim: int | None


def engine_folder(folder: Path) -> Path | None:
    """Return where the model is in a folder that `integrations.sentence_transformers` saved.

    There modules.json has one module, which is a complete model folder.

    Returns:
        The module's folder; None for all other folders.
    """
    path = folder / "modules.json"
    entries = read_json(path) if path.exists() else None
    match entries:
        case [{"type": type_, "path": str(subfolder)}] if type_ == _ENGINE_TYPE:
            return _inside(path, 0, subfolder)
    return None


def read_modules(folder: Path) -> Modules:
    """Read modules.json and the modules' own configs.

    A folder without modules.json is a plain Hugging Face model, for which mean pooling is used, as
    sentence-transformers does.

    Args:
        folder: The model folder.

    Returns:
        The transformer's folder, and the modules after it.

    Raises:
        MissingFileError: A module's config is missing.
        CheckpointError: A module or pooling is not supported; the message names it.
    """
    path = folder / "modules.json"
    if not path.exists():
        return Modules(folder, "mean", True, (), normalize=False, dimension=None)
    entries = read_json(path)
    if not isinstance(entries, list):
        raise CheckpointError(f"{path}: expected an array of modules, found {json_type(entries)}.")
    modules = [_read_module(path, index, entry) for index, entry in enumerate(entries)]
    modules = [module for module in modules if module[0] != "Dropout"]  # acts in training only
    kinds = [kind for kind, _ in modules]
    if kinds == ["Transformer"] and _model_type(folder) == _CLASSES["scores"]:
        return Modules(modules[0][1], "cls", True, (), normalize=False, dimension=None)
    folders = [subfolder for _, subfolder in modules]
    normalize = kinds[-1:] == ["Normalize"]
    dense = folders[2 : -1 if normalize else None]
    expected = [
        "Transformer",
        "Pooling",
        *("Dense" for _ in dense),
        *kinds[len(kinds) - normalize :],
    ]
    if kinds != expected:
        raise CheckpointError(
            f"{path}: the modules are {', '.join(kinds) or 'none'}; supported are Transformer, "
            "Pooling and, if wanted, Dense and Normalize, in this order."
        )
    if normalize:
        _check_normalize(folders[-1] / "config.json")
    pooling, include_prompt, dimension = _read_pooling(folders[1] / "config.json")
    return Modules(folders[0], pooling, include_prompt, tuple(dense), normalize, dimension)


def _model_type(folder: Path) -> str:
    """Return the class that the model was saved from; only newer versions name it."""
    path = folder / "config_sentence_transformers.json"
    found = read_json_object(path).get("model_type") if path.exists() else None
    return str(found or _CLASSES["vectors"])


def read_transformer_settings(transformer: Path, task: Task = "vectors") -> TransformerSettings:
    """Read sentence_bert_config.json from the transformer's folder; without it nothing is set."""
    path = transformer / "sentence_bert_config.json"
    if not path.exists():
        return TransformerSettings(None, do_lower_case=False, tokenizer={})
    fields = read_json_object(path)
    expected = _TASK_NAMES[task]
    if fields.get("transformer_task", expected) != expected:
        raise CheckpointError(
            f"{path}: transformer_task is {fields['transformer_task']!r}, but {_CLASSES[task]} "
            f"needs {expected!r}."
        )
    for name in _TRANSFORMER_EXTRAS:
        if fields.get(name):
            raise CheckpointError(f"{path}: {name} is set ({fields[name]!r}), but not supported.")
    limit = fields.get("max_seq_length")
    # Two tokens are [CLS] and [SEP]; a limit without room for a text is an error.
    if limit is not None and (type(limit) is not int or limit < 3):
        raise CheckpointError(
            f"{path}: max_seq_length is {limit!r}, expected a whole number of at least 3, or null."
        )
    lower = fields.get("do_lower_case") or False
    if not isinstance(lower, bool):
        raise CheckpointError(f"{path}: do_lower_case is {lower!r}, expected true or false.")
    return TransformerSettings(limit, lower, _tokenizer_fields(path, fields))


def _tokenizer_fields(path: Path, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the tokenizer's arguments, by their old or new name; refuse others with an effect."""
    found: dict[str, Any] = {}
    for name in ("tokenizer_args", "processor_kwargs"):
        given = fields.get(name) or {}
        if not isinstance(given, dict):
            raise CheckpointError(f"{path}: {name} is {json_type(given)}, expected an object.")
        found |= given
    for name, value in found.items():
        if name not in (*_TOKENIZER_FIELDS, *_WITHOUT_EFFECT):
            raise CheckpointError(
                f"{path}: the tokenizer's argument {name} ({value!r}) is not supported; supported "
                f"are {', '.join(_TOKENIZER_FIELDS)}."
            )
    return {name: value for name, value in found.items() if name in _TOKENIZER_FIELDS}


def read_model_settings(folder: Path, task: Task = "vectors") -> ModelSettings:
    """Read config_sentence_transformers.json; without it nothing is set."""
    path = folder / "config_sentence_transformers.json"
    if not path.exists():
        return ModelSettings({}, None, None, None)
    fields = read_json_object(path)
    model_type, expected = _model_type(folder), _CLASSES[task]
    if model_type != expected:
        other = model_type in _CLASSES.values()
        hint = f"load it with bge_micro.{model_type}" if other else "which is not supported"
        raise CheckpointError(f"{path}: model_type is {model_type!r}, not {expected!r}; {hint}.")
    prompts = fields.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(v, str) for v in prompts.values()):
        raise CheckpointError(f"{path}: prompts must map names to strings.")
    default = fields.get("default_prompt_name")
    known = [*dict.fromkeys(("query", "document", *prompts))]
    if default is not None and default not in known:
        raise CheckpointError(
            f"{path}: default_prompt_name is {default!r}, expected null or one of {known}."
        )
    similarity = fields.get("similarity_fn_name")
    if similarity is not None and similarity not in SIMILARITY_FUNCTIONS:
        raise CheckpointError(
            f"{path}: similarity_fn_name is {similarity!r}, "
            f"expected null or one of {', '.join(SIMILARITY_FUNCTIONS)}."
        )
    dimension = fields.get("truncate_dim")
    if dimension is not None and (type(dimension) is not int or dimension < 1):
        raise CheckpointError(
            f"{path}: truncate_dim is {dimension!r}, expected null or a whole number above 0."
        )
    return ModelSettings(prompts, default, similarity, dimension)


def _read_module(path: Path, index: int, entry: Any) -> tuple[str, Path]:
    """Return a module's class name and folder."""
    where = f"{path}, module {index}"
    if not isinstance(entry, dict):
        raise CheckpointError(f"{where}: expected an object, found {json_type(entry)}.")
    kind, subfolder = entry.get("type"), entry.get("path")
    if not isinstance(kind, str) or not isinstance(subfolder, str):
        raise CheckpointError(f"{where}: expected type and path, both strings.")
    if not kind.startswith("sentence_transformers."):
        raise CheckpointError(
            f"{where}: the class {kind!r} is code of the model's own, which is never run here."
        )
    return kind.rpartition(".")[2], _inside(path, index, subfolder)


def _inside(path: Path, index: int, subfolder: str) -> Path:
    """Return a module's folder, which must be inside that of modules.json."""
    relative = PurePosixPath(subfolder)
    if relative.is_absolute() or ".." in relative.parts or "\\" in subfolder or ":" in subfolder:
        raise CheckpointError(
            f"{path}, module {index}: path {subfolder!r} leads out of the model folder."
        )
    return path.parent / relative


def _read_pooling(path: Path) -> tuple[str, bool, int | None]:
    """Return the pooling mode, whether prompts are pooled too, and the dimension."""
    fields = read_json_object(path)
    modes = fields.get("pooling_mode")
    if modes is None:
        modes = [mode for flag, mode in _POOLING_FLAGS.items() if fields.get(flag, False)]
        if not any(flag in fields for flag in _POOLING_FLAGS):
            modes = ["mean"]  # the default of Pooling's constructor, in all releases
    modes = modes if isinstance(modes, list) else [modes]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise CheckpointError(
            f"{path}: pooling {' + '.join(map(str, modes)) or 'none'} is not supported; "
            f"expected one of {', '.join(POOLINGS)}."
        )
    include_prompt = fields.get("include_prompt", True)
    if not isinstance(include_prompt, bool):
        raise CheckpointError(f"{path}: include_prompt is {include_prompt!r}, expected a boolean.")
    dimension = fields.get("embedding_dimension", fields.get("word_embedding_dimension"))
    if dimension is not None and type(dimension) is not int:
        raise CheckpointError(f"{path}: the dimension is {dimension!r}, expected a whole number.")
    return str(modes[0]), include_prompt, dimension


def _check_normalize(path: Path) -> None:
    """Normalize has a config since 5.4; before that the module's folder may not even exist."""
    if not path.exists():
        return
    fields = read_json_object(path)
    for key in ("module_input_name", "module_output_name"):
        if fields.get(key, "sentence_embedding") != "sentence_embedding":
            raise CheckpointError(
                f"{path}: {key} is {fields[key]!r}, but only 'sentence_embedding' is supported."
            )
