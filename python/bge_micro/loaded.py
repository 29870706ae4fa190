"""What every loaded model has: where it runs, its limit, its memory, and how it pickles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bge_micro.choices import ComputeType
from bge_micro.options import check_positive

if TYPE_CHECKING:
    from bge_micro.pipeline import MemoryUsage, Pipeline
    from bge_micro.source import ModelSource


class LoadedModel:
    """A model with its source, from which it is loaded again when it is unpickled."""

    _source: ModelSource
    _pipeline: Pipeline
    _threads: int
    _max_seq_length: int

    @property
    def device(self) -> str:
        """Where the model runs: "cpu"."""
        return "cpu"

    @property
    def compute_type(self) -> ComputeType:
        """The arithmetic of the linear layers: "int8" or "float32"."""
        return self._pipeline.compute_type

    @property
    def isa(self) -> str:
        """The instruction set that runs, such as "avx512vnni"."""
        return self._pipeline.isa

    @property
    def vocab_size(self) -> int:
        """What every token id is below."""
        return self._pipeline.checkpoint.config.vocab

    @property
    def threads(self) -> int:
        """The most threads that are used unless a call is told otherwise."""
        return self._threads

    @property
    def max_seq_length(self) -> int:
        """Tokens of a text that are used, special tokens included; may be lowered and raised."""
        return self._max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        limit = check_positive("max_seq_length", value)
        self._pipeline.check_limit(limit)
        self._max_seq_length = limit

    @property
    def tokenizer(self) -> Any:
        """A copy of the Hugging Face tokenizer, a `tokenizers.Tokenizer`; changing it is safe."""
        return self._pipeline.tokenizer.copy()

    def memory_usage(self) -> MemoryUsage:
        """Tell how many bytes the model holds, and for what; copies of a model share them."""
        return self._pipeline.memory_usage()

    def trim(self) -> None:
        """Free the scratch memory of past calls; calls that run keep theirs until they end."""
        self._pipeline.trim()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the pipeline out: a copy elsewhere loads it from the same source."""
        state = {name: value for name, value in self.__dict__.items() if name != "_pipeline"}
        return {**state, "_source": self._source._replace(token=None)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load the pipeline from the source."""
        self.__dict__.update(state)
        self._pipeline = self._source.load()

    def __copy__(self) -> Any:
        """Share the pipeline, which never changes; settings are the copy's own."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Copy as __copy__ does: nothing that is shared can change."""
        return self.__copy__()
