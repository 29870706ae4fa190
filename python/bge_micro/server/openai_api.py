"""OpenAI's interface: embeddings and models."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response

from bge_micro.server.answers import as_base64, as_numbers, json_response, vectors_response
from bge_micro.server.fields import Fields
from bge_micro.server.service import Service

_FIELDS = ("input", "model", "encoding_format", "dimensions", "prompt_name", "truncate")


async def embeddings(service: Service, body: Any, note: dict[str, Any]) -> Response:
    """POST /v1/embeddings: vectors of unit length."""
    fields = Fields(body, _FIELDS, service.foreign_fields)
    service.check_name(fields.text("model", service.model.names[0]))
    write = {"float": as_numbers, "base64": as_base64}[
        fields.choice("encoding_format", ("float", "base64"))
    ]
    embedded = await service.embed(
        fields.rows("input", service.limits.texts),
        note,
        prompt_name=fields.text("prompt_name", ""),
        dimensions=fields.whole("dimensions", service.dimensions),
        truncate=fields.truncation("truncate", service.auto_truncate),
    )

    def element(index: int, vector: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
        return b'{"object":"embedding","index":%d,"embedding":%b}' % (index, write(vector))

    start = b'{"object":"list","data":['
    end = b'],"model":%b,"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (
        orjson.dumps(service.model.names[0]),
        embedded.tokens,
        embedded.tokens,
    )
    return await vectors_response(embedded, start, element, end)


async def models(service: Service, request: Request) -> Response:
    """GET /v1/models: the model under each of its names."""
    return json_response(
        {"object": "list", "data": [_model(service, name) for name in service.model.names]}
    )


async def model(service: Service, request: Request) -> Response:
    """GET /v1/models/NAME."""
    name = request.path_params["name"].strip("/")
    if not name:
        return await models(service, request)
    service.check_name(name)
    return json_response(_model(service, name))


def _model(service: Service, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": service.model.created,
        "owned_by": "bge-micro",
    }
