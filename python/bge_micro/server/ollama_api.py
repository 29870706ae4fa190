"""Ollama's interface: embed, and what its clients ask about models."""

from __future__ import annotations

import hashlib
import time
from datetime import datetime, timezone
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from bge_micro import __version__
from bge_micro.server.answers import as_numbers, json_response, vectors_response
from bge_micro.server.errors import InputError
from bge_micro.server.fields import Fields, Rows
from bge_micro.server.service import LATEST, Service

# The Ollama whose interface this is: clients compare it with the first that had what they need.
_OLLAMA = "0.12.0"

_EMBED = ("model", "input", "truncate", "dimensions", "options", "prompt_name")
_EMBEDDINGS = ("model", "prompt", "options", "prompt_name")
_SHOW = ("model", "name", "verbose", "system", "options")


async def embed(service: Service, body: Any, note: dict[str, Any]) -> Response:
    """POST /api/embed: vectors of unit length; long texts are cut unless "truncate" is false."""
    start = time.perf_counter_ns()
    fields = Fields(body, _EMBED, service.foreign_fields)
    name = _check_common(service, fields)
    dimensions = fields.whole("dimensions", service.dimensions)
    truncate = fields.truncation("truncate", True)
    head = b'{"model":%b,"embeddings":[' % orjson.dumps(name)
    if fields.is_empty("input"):  # so clients have a model loaded
        return Response(head + b"]}", media_type="application/json")
    rows = fields.rows("input", service.limits.texts)
    if rows.are_ids:
        raise InputError("input: expected a string or a list of strings", param="input")
    embedded = await service.embed(
        rows,
        note,
        prompt_name=fields.text("prompt_name", ""),
        dimensions=dimensions,
        truncate=truncate,
    )
    end = b'],"total_duration":%d,"load_duration":0,"prompt_eval_count":%d}' % (
        time.perf_counter_ns() - start,
        embedded.tokens,
    )
    return await vectors_response(embedded, head, lambda _, vector: as_numbers(vector), end)


async def embeddings(service: Service, body: Any, note: dict[str, Any]) -> Response:
    """POST /api/embeddings, the older route: one vector, which is not brought to unit length."""
    fields = Fields(body, _EMBEDDINGS, service.foreign_fields)
    _check_common(service, fields)
    text = fields.text("prompt", "")
    if not text:
        return json_response({"embedding": []})
    embedded = await service.embed(
        Rows([text], are_ids=False),
        note,
        prompt_name=fields.text("prompt_name", ""),
        normalize=False,
        truncate=True,
    )
    return await vectors_response(
        embedded, b'{"embedding":', lambda _, vector: as_numbers(vector), b"}"
    )


async def tags(service: Service, request: Request) -> Response:
    """GET /api/tags: the model under each of its names."""
    return json_response({"models": [_entry(service, name) for name in service.model.names]})


async def running(service: Service, request: Request) -> Response:
    """GET /api/ps: the models in memory, which are those of /api/tags."""
    memory = {
        "size_vram": 0,
        "expires_at": "9999-12-31T23:59:59Z",
        "context_length": service.transformer.max_seq_length,
    }
    return json_response(
        {"models": [{**_entry(service, name), **memory} for name in service.model.names]}
    )


async def show(service: Service, body: Any, note: dict[str, Any]) -> Response:
    """POST /api/show: what is known of a model."""
    fields = Fields(body, _SHOW, service.foreign_fields)
    _check_name(service, fields.text("model", fields.text("name", "")))
    return json_response(
        {
            "modelfile": f"FROM {service.model.names[0]}",
            "parameters": "",
            "template": "",
            "license": "",
            "details": _details(service),
            "model_info": {
                "general.architecture": "bert",
                "bert.context_length": service.transformer.max_seq_length,
                "bert.embedding_length": service.dimensions,
                "bert.vocab_size": service.transformer.vocab_size,
                "bert.pooling_type": service.model.pooling,
            },
            "capabilities": ["embedding"],
            "modified_at": _modified_at(service),
        }
    )


async def version(service: Service, request: Request) -> Response:
    """GET /api/version: of the interface, and of the package."""
    return json_response({"version": _OLLAMA, "bge_micro": __version__})


def _check_common(service: Service, fields: Fields) -> str:
    """Check the fields that both routes for vectors have, and return the model's name."""
    name = fields.text("model", "")
    _check_name(service, name)
    service.prompt(fields.text("prompt_name", ""))  # even where there is no text to put it before
    options = fields.mapping("options")
    limit = service.transformer.max_seq_length
    context = options.get("num_ctx")
    # All others are about writing texts and about hardware.
    if context is not None and not (isinstance(context, (int, float)) and context >= limit):
        raise InputError(
            f"options.num_ctx: texts are cut at {limit} tokens here, so a smaller number, or what "
            "is no number, is not understood",
            param="options",
        )
    return name


def _check_name(service: Service, name: str) -> None:
    if not name:
        raise InputError("model is required", param="model")
    service.check_name(name)


def _entry(service: Service, name: str) -> dict[str, Any]:
    tagged = name if ":" in name else name + LATEST
    return {
        "name": tagged,
        "model": tagged,
        "modified_at": _modified_at(service),
        "size": service.transformer.memory_usage().checkpoint,
        # Ollama's digest tells files apart; this one tells vectors apart.
        "digest": hashlib.sha256(service.model.space_id.encode()).hexdigest(),
        "details": _details(service),
    }


def _details(service: Service) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "safetensors",
        "family": "bert",
        "families": ["bert"],
        "parameter_size": "",
        "quantization_level": service.model.compute_type,
    }


def _modified_at(service: Service) -> str:
    return datetime.fromtimestamp(service.model.created, timezone.utc).isoformat()
