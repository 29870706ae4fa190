"""Methods of sentence-transformers that need little or no work here."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from bge_micro.options import check_device
from bge_micro.planning import PlanMixin

_Self = TypeVar("_Self")


class CompatMixin(PlanMixin):
    """Methods for programs that were written for sentence-transformers."""

    def get_max_seq_length(self) -> int:
        """Return max_seq_length."""
        return self._max_seq_length

    def get_sentence_embedding_dimension(self) -> int:
        """Return the length of the vectors; the older name of get_embedding_dimension."""
        warnings.warn("use get_embedding_dimension", DeprecationWarning, stacklevel=2)
        return self.get_embedding_dimension()

    def to(self: _Self, device: Any) -> _Self:
        """Accept the CPU; ValueError for any other device."""
        check_device(device)
        return self

    def cpu(self: _Self) -> _Self:
        """Return the model: it is always on the CPU."""
        return self

    def eval(self: _Self) -> _Self:
        """Return the model: it is never in training."""
        return self

    def half(self: _Self) -> _Self:
        """Refuse: 16-bit floats are not a compute type here."""
        raise ValueError("half() is not supported; choose compute_type='int8' or 'float32'.")

    def start_multi_process_pool(self, *args: Any, **options: Any) -> None:
        """Refuse: threads share the work inside one process."""
        raise ValueError("process pools are not supported; encode(threads=...) uses all CPUs.")

    stop_multi_process_pool = start_multi_process_pool
