"""The server's OpenAPI description: openapi.json, with errors and this server's limits put in."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import orjson

from bge_micro import __version__
from bge_micro.server.service import Service

# Statuses of errors, by what can give them. Those of the tables are all that handlers answer.
_EVERYWHERE = {
    421: "The Host header has a name that this server does not go by.",
    500: "A mistake of the server's.",
}
_WITH_KEY = {401: "No API key, or a wrong one."}
_UNKNOWN_MODEL = {404: "Another model than this server's."}
_UNAVAILABLE = {
    503: "Too many large requests, a thread is stuck, or the server is about to stop.",
}
_WITH_BODY = {
    400: "Invalid JSON, or a field that makes no sense.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The content is not JSON, or compressed.",
    429: "The queue is full: try again.",
    **_UNKNOWN_MODEL,
    **_UNAVAILABLE,
}
_TEI_FIELDS = {422: "A field that makes no sense."}
_NO_RERANKER = {424: "There is no reranker: start the server with --reranker."}
_MORE = {
    "/rerank": _NO_RERANKER,
    "/v1/rerank": _NO_RERANKER,
    "/v2/rerank": _NO_RERANKER,
    "/v1/models/{name}": _UNKNOWN_MODEL,
    "/health": _UNAVAILABLE,
    "/ping": _UNAVAILABLE,
}
_REFUSED = {
    "description": "What came is no request, or not one that can be read in one way only, or has "
    "too large a head: 400, 408, 417, 431, 501, 503 or 505. The connection is closed.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}
# The schema of errors, by an operation's tag.
_ERRORS = {
    "Cohere": "CohereError",
    "OpenAI": "OpenAIError",
    "TEI": "TeiError",
    "Ollama": "OllamaError",
    "Server": "TeiError",
}


def describe(service: Service) -> dict[str, Any]:
    """Return the description of a server."""
    description: dict[str, Any] = orjson.loads(
        files(__package__).joinpath("openapi.json").read_bytes()
    )
    description["info"]["version"] = __version__
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            _add_errors(operation, path, method)
    _add_limits(description["components"]["schemas"], service)
    # The page for people leaves them out.
    description["x-foreign-fields"] = [*service.foreign_fields.schemas()]
    return description


def _add_errors(operation: dict[str, Any], path: str, method: str) -> None:
    (tag,) = operation["tags"]
    errors = {**_EVERYWHERE, **_MORE.get(path, {})}
    if "security" not in operation:
        errors |= _WITH_KEY
    if method == "post":
        errors |= _WITH_BODY
        errors |= _TEI_FIELDS if tag == "TEI" else {}
    schema = {"$ref": f"#/components/schemas/{_ERRORS[tag]}"}
    for status in sorted(errors):
        operation["responses"][str(status)] = {
            "description": errors[status],
            "content": {"application/json": {"schema": schema}},
        }
    operation["responses"]["default"] = _REFUSED


def _add_limits(schemas: dict[str, Any], service: Service) -> None:
    model, limits = service.transformer, service.limits
    schemas["Dimensions"]["maximum"] = service.dimensions
    for lists in (schemas["Texts"], schemas["TokenIdLists"], schemas["OllamaTexts"]):
        lists["maxItems"] = limits.texts
    schemas["TokenIds"]["maxItems"] = model.max_seq_length
    schemas["TokenIds"]["items"]["maximum"] = model.vocab_size - 1
    schemas["CohereRerankRequest"]["properties"]["documents"]["maxItems"] = limits.texts
    schemas["ModelName"]["enum"] = [None, *service.model.names]
    schemas["OllamaModelName"]["enum"] = [*service.model.names]
    schemas["PromptName"]["enum"] = [None, *model.prompts]
    foreign = service.foreign_fields.schemas()
    for schema in schemas.values():  # the requests: all other objects may have further fields
        if "additionalProperties" in schema:
            schema["properties"] = {**foreign, **schema["properties"]}
