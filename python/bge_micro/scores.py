"""How logits of a reranker become scores."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro import _core
from bge_micro.checkpoint.dense import TORCH_ACTIVATIONS
from bge_micro.choices import ACTIVATIONS, Activation, check_choice

# A name, or a function of logits (n, labels), float32, that gives an array of as many rows.
ActivationFn = Activation | Callable[[Any], Any]


def check_activation(activation_fn: Any) -> ActivationFn:
    """Return an activation in the form that `apply_activation` takes.

    Modules of torch that the core has are replaced by their names, so that their results have the
    same bits on every CPU.

    Raises:
        TypeError: It is neither a name nor callable.
        ValueError: It is an unknown name.
    """
    if isinstance(activation_fn, str):
        return check_choice("activation_fn", activation_fn, ACTIVATIONS)
    if not callable(activation_fn):
        raise TypeError(
            f"activation_fn is {activation_fn!r}, expected one of {', '.join(ACTIVATIONS)}, or a "
            "function of an array."
        )
    kind = type(activation_fn)
    known = TORCH_ACTIVATIONS.get(f"{kind.__module__}.{kind.__qualname__}")
    if known == "gelu" and getattr(activation_fn, "approximate", "none") != "none":
        return activation_fn  # type: ignore[no-any-return]
    return known or activation_fn


def apply_activation(
    logits: NDArray[np.float32], activation_fn: ActivationFn
) -> NDArray[np.float32]:
    """Return scores (n, labels) for logits of the same shape.

    Raises:
        ValueError: A function of the caller's gives another shape.
    """
    if isinstance(activation_fn, str):
        return _core.activate(logits, activation_fn)
    torch = sys.modules.get("torch")
    given: Any = logits
    if torch is not None and isinstance(activation_fn, torch.nn.Module):
        given = torch.from_numpy(logits)
    result = activation_fn(given)
    if torch is not None and isinstance(result, torch.Tensor):
        result = result.detach().cpu().numpy()
    scores = np.asarray(result, np.float32)
    if scores.size != logits.size or len(scores) != len(logits):
        raise ValueError(
            f"activation_fn turned logits of shape {logits.shape} into {scores.shape}, expected "
            "the same shape."
        )
    return scores.reshape(logits.shape)
