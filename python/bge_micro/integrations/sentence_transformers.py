"""A real `sentence_transformers.SentenceTransformer` that runs on this package.

``from bge_micro.integrations.sentence_transformers import SentenceTransformer`` is for libraries
that ask ``isinstance(model, sentence_transformers.SentenceTransformer)``: BERTopic, KeyBERT,
SetFit, mteb, sentence-transformers' own evaluators. It needs torch, unlike
`bge_micro.SentenceTransformer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bge_micro.choices import OutputValue, Precision
from bge_micro.inputs import read_texts
from bge_micro.integrations import process_pool
from bge_micro.integrations.frameworks import needed
from bge_micro.model import SentenceTransformer as Model
from bge_micro.options import check_device, check_positive, refuse_unknown
from bge_micro.progress import progress_bar

if TYPE_CHECKING:
    from bge_micro.option_types import Texts

with needed("sentence-transformers", extra="sentence-transformers"):
    import sentence_transformers
    import torch
    from transformers import PreTrainedTokenizerFast

    try:
        from sentence_transformers.base.modules import Module
    except ImportError:  # before 5.4
        from sentence_transformers.models import Module

# How many processes a pool has if the caller does not say, as in sentence-transformers.
_DEFAULT_PROCESSES = 4

# By their names in transformers.
_SPECIAL_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}


class Engine(Module):
    """A model of this package as a module of sentence-transformers: token ids in, vectors out.

    `SentenceTransformer` below has one. It works in a plain
    ``sentence_transformers.SentenceTransformer(modules=[Engine()])`` too, but there torch cuts and
    normalises the vectors, and the batches are sentence-transformers' own.

    Attributes:
        model: The model; it is not a torch module and has no parameters.
    """

    def __init__(self, model: Model | str | Path = "bge-micro-v2") -> None:
        """Wrap a loaded model, or load one by its name or folder."""
        super().__init__()
        self.model = model.__copy__() if isinstance(model, Model) else Model(model)
        self.model.truncate_dim = None  # the model around the module cuts vectors
        self.eval()

    def preprocess(
        self, inputs: str | Texts, prompt: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """Tokenize n texts: int64 tensors (n, longest), as `bge_micro`'s `preprocess` pads them.

        If the model pools no prompts, prompt_length tells how many of the first tokens are skipped.
        """
        tokens = self.model.preprocess(inputs, prompt)
        features: dict[str, Any] = {name: torch.from_numpy(each) for name, each in tokens.items()}
        skipped = self.model.plan(prompt=prompt or "").skip
        return {**features, "prompt_length": skipped} if skipped else features

    tokenize = preprocess

    def forward(self, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Encode token ids.

        Args:
            features: What `preprocess` returned.
            **options: Not used.

        Returns:
            The features with token_embeddings, float32 (n, longest, hidden), zero where the
            attention mask is zero, and sentence_embedding, float32 (n, hidden).
        """
        ids, mask = features["input_ids"].numpy(), features["attention_mask"].numpy().astype(bool)
        skipped = 0 if self.model.include_prompt else int(features.get("prompt_length", 0))
        plan = self.model.plan(prompt="")._replace(skip=skipped)
        rows = [row[used] for row, used in zip(ids, mask, strict=True)]
        encoded = self.model.run(rows, plan, token_embeddings=True)
        tokens = np.zeros((*ids.shape, self.get_embedding_dimension()), np.float32)
        for padded, used, found in zip(tokens, mask, encoded.token_embeddings, strict=True):
            padded[used] = found
        features["token_embeddings"] = torch.from_numpy(tokens)
        features["sentence_embedding"] = torch.from_numpy(encoded.vectors)
        return features

    def get_embedding_dimension(self) -> int:
        """Return the length of the vectors."""
        return self.model.get_embedding_dimension()

    get_sentence_embedding_dimension = get_embedding_dimension

    @property
    def max_seq_length(self) -> int:
        """Tokens of a text that are used, special tokens included."""
        return self.model.max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        self.model.max_seq_length = value

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer as transformers' class; changing it changes no vector."""
        tokenizer = self.model.tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        special = {
            name: token
            for name, token in _SPECIAL_TOKENS.items()
            if tokenizer.token_to_id(token) is not None
        }
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, model_max_length=self.max_seq_length, **special
        )

    def save(self, output_path: str, *arguments: Any, **options: Any) -> None:
        """Write the model to a new or empty folder, which `bge_micro.SentenceTransformer` loads."""
        self.model.save_pretrained(output_path, compute_type=None)

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        *,
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        model_kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> Engine:
        """Load what `save` wrote, for sentence-transformers with ``trust_remote_code=True``.

        Its ``model_kwargs`` are keywords of `bge_micro.SentenceTransformer`, such as threads.
        """
        folder = cls.load_dir_path(
            model_name_or_path, subfolder, token, cache_folder, revision, local_files_only
        )
        return cls(Model(Path(folder), **(model_kwargs or {})))

    def train(self, mode: bool = True) -> Engine:
        """Refuse to train: there are no gradients."""
        if mode:
            raise ValueError(
                "bge-micro encodes only, it cannot be trained. Train the model with "
                "sentence_transformers.SentenceTransformer, save it, and load the folder here."
            )
        return super().train(mode)  # type: ignore[no-any-return]

    def _apply(self, function: Callable[[Any], Any], *arguments: Any, **options: Any) -> Engine:
        """Refuse what torch's `to`, `half`, `cuda` and so on would do to parameters."""
        result = function(torch.empty(0))
        check_device(result.device)
        if result.dtype != torch.float32:
            raise ValueError(
                f"{result.dtype} is not supported; choose compute_type='int8' or 'float32'."
            )
        return super()._apply(function, *arguments, **options)  # type: ignore[no-any-return]

    def get_config_dict(self) -> dict[str, Any]:
        """Return what the module's repr shows."""
        return {"compute_type": self.model.compute_type, "max_seq_length": self.max_seq_length}


class SentenceTransformer(sentence_transformers.SentenceTransformer):
    """sentence-transformers' class with this package inside.

    `encode` gives the bits of `bge_micro.SentenceTransformer.encode`, as tensors where
    sentence-transformers gives tensors. What is not here is sentence-transformers' own: similarity,
    evaluators, saving.
    """

    def __init__(
        self,
        model_name_or_path: str | Path = "bge-micro-v2",
        *,
        model_card_data: Any = None,
        **options: Any,
    ) -> None:
        """Load a model.

        Args:
            model_name_or_path: As for `bge_micro.SentenceTransformer`; also a folder that `save`
                wrote.
            model_card_data: As for sentence-transformers' class.
            **options: Keywords of `bge_micro.SentenceTransformer`; it refuses those of
                sentence-transformers that have no meaning here.
        """
        model = Model(model_name_or_path, **options)
        super().__init__(
            modules=[Engine(model)],
            device="cpu",
            prompts=model.prompts,
            default_prompt_name=model.default_prompt_name,
            similarity_fn_name=model.similarity_fn_name,
            truncate_dim=model.truncate_dim,
            model_card_data=model_card_data,
        )
        self.eval()

    @property
    def engine(self) -> Model:
        """The model that encodes; its truncation, errors and so on may be changed."""
        return self[0].model  # type: ignore[no-any-return]

    def encode(
        self,
        inputs: Any = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: OutputValue | None = "sentence_embedding",
        precision: Precision = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: Any = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: process_pool.Pool | None = None,
        chunk_size: int | None = None,
        *,
        sentences: Any = None,
        task: str | None = None,
        **options: Any,
    ) -> Any:
        """Encode texts as `bge_micro.SentenceTransformer.encode` does, with the same bits.

        Args:
            inputs: A string, or a list or other sequence of strings.
            prompt_name: Name of the prompt to put before each text.
            prompt: The prompt itself; wins over prompt_name.
            batch_size: Accepted for compatibility; batches are formed by tokens.
            show_progress_bar: Whether to show one.
            output_value: "sentence_embedding"; "token_embeddings" or None for tensors of each text.
            precision: As for `bge_micro.SentenceTransformer.encode`: int8 and uint8 are made of
                each vector alone, not of a batch's ranges.
            convert_to_numpy: False gives a list of tensors.
            convert_to_tensor: True gives one tensor.
            device: None, "cpu", or a list of them for as many processes.
            normalize_embeddings: Bring vectors to unit length.
            truncate_dim: Length to cut vectors to; None for the model's own truncate_dim.
            pool: What `start_multi_process_pool` returned.
            chunk_size: Texts that a process of the pool gets at once.
            sentences: Another name of inputs.
            task: Accepted for compatibility: there are no routes to choose from.
            **options: Further keywords of `bge_micro.SentenceTransformer.encode`.

        Returns:
            float32 (n, dimensions) for a list, (dimensions,) for one string, or what the options
            ask for.

        Raises:
            TypeError: Rows are not strings.
            ValueError: An option has a value that makes no sense here.
        """
        refuse_unknown("encode", Model.encode, options)
        check_positive("batch_size", batch_size)
        given = inputs if sentences is None else sentences
        engine = self.engine
        engine.prompts, engine.default_prompt_name = self.prompts, self.default_prompt_name
        options |= {
            "prompt": engine.plan(prompt_name=prompt_name, prompt=prompt).prompt,
            "output_value": output_value,
            "precision": precision,
            "normalize_embeddings": normalize_embeddings,
            "truncate_dim": truncate_dim if truncate_dim is not None else self.truncate_dim,
        }
        if pool is None and not isinstance(device, (list, tuple)):
            found = engine.encode(
                given, device=device, show_progress_bar=show_progress_bar, **options
            )
        else:
            found = self._encode_in_pool(
                given, pool, device, chunk_size, show_progress_bar, options
            )
        vectors = output_value == "sentence_embedding"
        if convert_to_numpy and vectors and not convert_to_tensor:
            return found
        tensors = _as_tensors(found)
        as_list = vectors and not convert_to_tensor and tensors.ndim == 2
        return list(tensors) if as_list else tensors

    def _encode_in_pool(
        self,
        given: Any,
        pool: process_pool.Pool | None,
        devices: Sequence[str],
        chunk_size: int | None,
        show_progress_bar: bool | None,
        options: dict[str, Any],
    ) -> Any:
        """Encode in a pool; without one, in a pool for these devices and this call."""
        texts = read_texts(given, options.pop("errors", None) or self.engine.errors)
        ours = pool or self.start_multi_process_pool(devices)
        try:
            with progress_bar(show_progress_bar, len(texts.rows)) as advance:
                chunks = process_pool.encode(ours, list(texts.rows), chunk_size, options, advance)
        finally:
            if pool is None:
                self.stop_multi_process_pool(ours)
        found: Any = list(chain.from_iterable(chunks))
        if isinstance(chunks[0], np.ndarray):
            found = np.concatenate(chunks)
        return found[0] if texts.single else found

    def start_multi_process_pool(
        self, target_devices: Sequence[str] | None = None
    ) -> process_pool.Pool:
        """Start a pool of processes: one for each of the devices, which are all "cpu"."""
        devices = target_devices or ["cpu"] * _DEFAULT_PROCESSES
        for device in devices:
            check_device(device)
        return process_pool.start(self.engine, len(devices))

    @staticmethod
    def stop_multi_process_pool(pool: process_pool.Pool) -> None:
        """End the processes of a pool."""
        process_pool.stop(pool)


def _as_tensors(found: Any) -> Any:
    """Return an array as a tensor; arrays in lists and dicts likewise."""
    if isinstance(found, list):
        return [_as_tensors(each) for each in found]
    if isinstance(found, dict):
        return {name: _as_tensors(each) for name, each in found.items()}
    return torch.from_numpy(found)
