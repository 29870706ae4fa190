"""`SentenceTransformer`: the class people know, loaded, with its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bge_micro import similarity as _similarity
from bge_micro.aio import AsyncEncodeMixin
from bge_micro.checkpoint import BUNDLED_NAME, absolute_name
from bge_micro.checkpoint.modules import ModelSettings
from bge_micro.checkpoint.tensors import is_quantized
from bge_micro.choices import (
    ERRORS,
    TRUNCATIONS,
    ComputeType,
    Errors,
    SimilarityFunction,
    Truncation,
    check_choice,
)
from bge_micro.compat import CompatMixin
from bge_micro.encode import EncodeMixin
from bge_micro.loaded import LoadedModel
from bge_micro.options import check_device, export_name, refuse_at_load
from bge_micro.runtime import choose_threads
from bge_micro.signatures import like_similarity
from bge_micro.source import ModelSource
from bge_micro.tokens import TokenizeMixin

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from bge_micro.option_types import Device, RefusedAtLoad


class SentenceTransformer(LoadedModel, EncodeMixin, AsyncEncodeMixin, TokenizeMixin, CompatMixin):
    """A sentence encoder: texts in, vectors out.

    For given weights, compute type and numerics version, a text's vector is the same to the last
    bit in any batch, in any order, with any number of threads, on every CPU. One object serves any
    number of Python threads at once. It pickles by its source, not its memory.

    Attributes:
        prompts: Texts to put before a text, by name; always with "query" and "document".
        default_prompt_name: The prompt used when encode is given none.
        truncate_dim: Length to which vectors are cut; None for full length.
        truncation: What happens to texts that are too long: "silent", "warn" or "error".
        errors: What happens to rows that are not strings: "strict", "replace" or "skip".
    """

    def __init__(
        self,
        model_name_or_path: str | Path = BUNDLED_NAME,
        *,
        device: Device = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: SimilarityFunction | None = None,
        cache_folder: str | Path | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        use_auth_token: str | bool | None = None,
        truncate_dim: int | None = None,
        source: Literal["cache"] | None = None,
        compute_type: ComputeType = "int8",
        threads: int | None = None,
        truncation: Truncation = "silent",
        errors: Errors = "strict",
        mmap: bool = False,
        verify: bool = False,
        file_name: str | None = None,
        **options: Unpack[RefusedAtLoad],
    ) -> None:
        """Load a model.

        Args:
            model_name_or_path: A model folder; "bge-micro-v2" or "TaylorAI/bge-micro-v2", if there
                is no such folder, for the copy inside the package; or a name on the Hugging Face
                hub, which is fetched into the local cache by huggingface_hub (the extra
                ``bge-micro[hub]``).
            device: None or "cpu".
            prompts: Prompts over those of the model folder.
            default_prompt_name: The prompt used when encode is given none.
            similarity_fn_name: "cosine" (default), "dot", "euclidean" or "manhattan".
            cache_folder: The Hugging Face cache; None for the usual place, by
                SENTENCE_TRANSFORMERS_HOME, HF_HUB_CACHE, HF_HOME or XDG_CACHE_HOME.
            revision: Branch, tag or commit. For the bundled model's name, takes that snapshot from
                the local cache.
            local_files_only: Use no network, as with HF_HUB_OFFLINE=1.
            token: For private models on the hub; not pickled with the model.
            use_auth_token: As token.
            truncate_dim: Length to cut vectors to.
            source: "cache" to take the local cache's copy even of the bundled model.
            compute_type: "int8" or "float32".
            threads: The most threads to use. None for BGE_MICRO_NUM_THREADS, else OMP_NUM_THREADS,
                else the CPUs that the process may use.
            truncation: What to do with texts of more than max_seq_length tokens: "silent" and
                "warn" use the beginning, "error" raises a ValueError.
            errors: What to do with rows that are not strings: "strict" raises, "replace" takes the
                empty text, "skip" leaves them out.
            mmap: Map the weight file of a folder instead of reading it. If another process cuts
                the file short meanwhile, the operating system ends this one with SIGBUS.
            verify: Compare the weights and the tokenizer with the checksums that the folder's
                bge_micro.json records, which takes 0.7 ms a megabyte; a folder without them is
                refused.
            file_name: An ONNX export of the model to read the weights from, such as
                "onnx/model_quantized.onnx" (the extra ``bge-micro[convert]``). None for
                safetensors, or for the model's export if it has none. May also be given as
                sentence-transformers has it: ``backend="onnx", model_kwargs={"file_name": ...}``.
            **options: Further keywords of sentence-transformers; refused if they ask for something.

        Raises:
            FileNotFoundError: No complete model was found; the message says where it was sought.
            CheckpointError: A file of the model is damaged or describes another kind of model.
            ValueError: An option has no meaning here; the message says why.
        """
        if options:
            refuse_at_load(SentenceTransformer.__init__, options)
        check_device(device)
        self._source = ModelSource(
            # With a revision or a source it is a name on the hub, not a folder.
            model_name_or_path if revision or source else absolute_name(model_name_or_path),
            None if cache_folder is None else Path(cache_folder).absolute(),
            revision,
            source,
            compute_type,
            mmap,
            local_files_only,
            token if token is not None else use_auth_token,
            verify,
            export_name(file_name, options),
        )
        self._pipeline = self._source.load()
        self._threads = int(choose_threads(threads).value)
        checkpoint = self._pipeline.checkpoint
        self._max_seq_length = checkpoint.max_seq_length
        self.prompts = {"query": "", "document": "", **checkpoint.prompts, **(prompts or {})}
        self.default_prompt_name = default_prompt_name or checkpoint.default_prompt_name
        if self.default_prompt_name not in {None, *self.prompts}:
            known = ", ".join(map(repr, self.prompts))
            raise ValueError(
                f"default_prompt_name is {self.default_prompt_name!r}; "
                f"prompts of this model: {known}."
            )
        self.truncate_dim = truncate_dim if truncate_dim is not None else checkpoint.truncate_dim
        self.similarity_fn_name = similarity_fn_name or checkpoint.similarity_fn_name or "cosine"
        self.truncation = check_choice("truncation", truncation, TRUNCATIONS)
        self.errors = check_choice("errors", errors, ERRORS)
        self.plan(prompt="")  # refuses a truncate_dim that makes no sense

    @property
    def pooling(self) -> str:
        """How token embeddings become a vector, such as "mean"."""
        return self._pipeline.checkpoint.pooling

    @property
    def include_prompt(self) -> bool:
        """Whether a prompt's tokens are pooled with the text's."""
        return self._pipeline.checkpoint.include_prompt

    @property
    def similarity_fn_name(self) -> SimilarityFunction:
        """The function of `similarity`: "cosine", "dot", "euclidean" or "manhattan"."""
        return self._similarity_fn_name

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: SimilarityFunction) -> None:
        self._similarity_fn_name = _similarity.check_name(name)

    @like_similarity
    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Compare every vector with every one of the second set: float32 (n, m).

        The result is a torch tensor if one of the two is, else an array.
        """
        return _similarity.similarity(self.similarity_fn_name, embeddings1, embeddings2)

    @like_similarity
    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Compare the vectors of each row: float32 (n,); a tensor as `similarity` gives it."""
        return _similarity.similarity_pairwise(self.similarity_fn_name, embeddings1, embeddings2)

    @contextmanager
    def truncate_embeddings(self, truncate_dim: int | None) -> Iterator[None]:
        """Cut vectors to another length inside a with block."""
        before = self.truncate_dim
        self.truncate_dim = truncate_dim
        try:
            self.plan(prompt="")
            yield
        finally:
            self.truncate_dim = before

    def save_pretrained(
        self, path: str | Path, *, compute_type: ComputeType | None = "float32"
    ) -> None:
        """Write the model to a folder, with prompts and limits as they are set now.

        Args:
            path: Where to; must not exist, or be an empty folder.
            compute_type: "float32" for a folder that sentence-transformers and transformers load
                too; "int8", of a model that runs in int8 or has 8-bit weights, for one of a quarter
                of the size that gives the same vectors here, bit for bit; None for the one of the
                two that gives the same vectors here.

        Raises:
            FileExistsError: There is something at `path` already.
            ValueError: The compute type is unknown, or neither the model nor its weights have it.
        """
        from bge_micro.convert import save_folder  # writing needs what loading does not
        from bge_micro.quantize import quantize_checkpoint

        checkpoint = self._pipeline.checkpoint
        in_8_bits = is_quantized(checkpoint.tensors, checkpoint.config)
        exact: ComputeType = "int8" if in_8_bits else self.compute_type
        if compute_type is None:
            compute_type = exact
        if compute_type not in ("float32", exact):
            raise ValueError(
                f"compute_type is {compute_type!r}, expected 'float32' or the model's own, "
                f"{exact!r}."
            )
        tensors = None
        if compute_type == "int8":
            tensors = quantize_checkpoint(checkpoint.tensors, checkpoint.config)
        settings = ModelSettings(
            dict(self.prompts),
            self.default_prompt_name,
            self.similarity_fn_name,
            self.truncate_dim,
        )
        save_folder(
            checkpoint,
            path,
            tensors=tensors,
            settings=settings,
            max_seq_length=self._max_seq_length,
        )

    save = save_pretrained

    def __copy__(self) -> SentenceTransformer:
        """Share the pipeline, which never changes; settings are the copy's own."""
        twin: SentenceTransformer = super().__copy__()
        twin.prompts = dict(self.prompts)
        return twin

    def __repr__(self) -> str:
        """Say what it is."""
        name = str(self._source.model_name_or_path)
        return (
            f"SentenceTransformer({name!r}, compute_type={self.compute_type!r}, "
            f"dimensions={self.get_embedding_dimension()}, isa={self.isa!r}, "
            f"threads={self.threads})"
        )
