"""Fields that clients of other servers send, and that mean nothing for a vector of this one.

A request that asks for something else than it would get is refused, so each field is accepted only
with values that ask for what is done anyway.
"""

from __future__ import annotations

from typing import Any

# They are about the request, not about its vectors.
_ANYTHING = frozenset(
    {
        *("keep_alive", "metadata", "priority", "request_id", "safety_identifier", "service_tier"),
        *("timeout", "use_cache", "user", "wait_for_model"),
    }
)
# The one value that changes nothing: vectors are floats of unit length, one for each text.
_ONLY: dict[str, Any] = {
    "add_special_tokens": True,
    "embedding_type": "float",
    "encoding_format": "float",
    "late_chunking": False,
    "normalize": True,
    "normalized": True,
    "output_dtype": "float",
    "return_multivector": False,
    "return_token_embeddings": False,
    "stream": False,
}
# Other models embed queries and documents in different ways, which these choose between.
_ROLES = frozenset({"input_type", "task", "task_type"})


class ForeignFields:
    """Decides about fields that a route itself does not know."""

    def __init__(self, has_prompts: bool) -> None:
        """Take whether the model has prompts; without any, it embeds all texts alike."""
        self._has_prompts = has_prompts

    def objection(self, name: str, value: Any) -> str | None:
        """Say why a field with a value, which is not null, cannot be ignored; None if it can.

        Returns:
            A text to come after the field's name.
        """
        if name in _ANYTHING:
            return None
        if name in _ROLES:
            if not self._has_prompts:
                return None
            return "is not understood, because this model has prompts: send prompt_name instead"
        if name in _ONLY:
            only = _ONLY[name]
            if type(value) is type(only) and value == only:
                return None
            return f"can only be {_json(only)} here"
        return "is unknown"

    def schemas(self) -> dict[str, Any]:
        """Return these fields as properties of a JSON Schema."""
        anything: dict[str, Any] = {name: {} for name in sorted(_ANYTHING)}
        roles = {name: {"type": "null"} if self._has_prompts else {} for name in sorted(_ROLES)}
        return {**anything, **roles, **{name: {"enum": [None, v]} for name, v in _ONLY.items()}}


def _json(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
