"""The interface of Text Embeddings Inference: embed, similarity, tokenize, info."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from bge_micro import __version__
from bge_micro.server.answers import as_numbers, json_response, vectors_response
from bge_micro.server.errors import JSON, InputError, OtherTaskError
from bge_micro.server.fields import Fields, Rows
from bge_micro.server.service import Service
from bge_micro.similarity import similarity as compare

_EMBED = ("inputs", "truncate", "truncation_direction", "prompt_name", "normalize", "dimensions")
_SIMILARITY = ("inputs", "parameters")
_PARAMETERS = ("truncate", "truncation_direction", "prompt_name")
_TOKENIZE = ("inputs", "add_special_tokens", "prompt_name")

# Characters of a request to /tokenize: each token comes back as 80 bytes of JSON.
_MOST_CHARACTERS = 1 << 18


async def embed(service: Service, body: Any, note: dict[str, Any]) -> Response:
    """POST /embed: a list of vectors, of unit length unless "normalize" is false."""
    fields = _read(service, body, _EMBED)
    embedded = await service.embed(
        fields.rows("inputs", service.limits.texts),
        note,
        prompt_name=fields.text("prompt_name", ""),
        dimensions=fields.whole("dimensions", service.dimensions),
        normalize=fields.flag("normalize", True),
        truncate=_truncate(service, fields),
    )
    return await vectors_response(embedded, b"[", lambda _, vector: as_numbers(vector), b"]")


async def root(service: Service, body: Any, note: dict[str, Any]) -> Response:
    """POST /: what Hugging Face's clients ask of a server of one model, by the form of "inputs"."""
    if isinstance(body, dict) and isinstance(body.get("inputs"), dict):
        return await similarity(service, body, note)
    return await embed(service, body, note)


async def similarity(service: Service, body: Any, note: dict[str, Any]) -> Response:
    """POST /similarity: the cosine of a text with each of others."""
    fields = _read(service, body, _SIMILARITY)
    inputs = fields.object("inputs", ("source_sentence", "sentences"))
    parameters = fields.object("parameters", _PARAMETERS)
    source = inputs.text("source_sentence")
    sentences = inputs.texts("sentences", service.limits.texts)
    embedded = await service.embed(
        Rows([source, *sentences], are_ids=False),
        note,
        prompt_name=parameters.text("prompt_name", ""),
        truncate=_truncate(service, parameters),
    )
    scores = compare("cosine", embedded.vectors[:1], embedded.vectors[1:])[0]
    return Response(as_numbers(np.clip(scores, -1, 1)), media_type=JSON)


async def tokenize(service: Service, body: Any, note: dict[str, Any]) -> Response:
    """POST /tokenize: the tokens of each text, uncut; places count characters."""
    fields = _read(service, body, _TOKENIZE)
    prefix = service.prompt(fields.text("prompt_name", ""))
    texts = [prefix + text for text in fields.texts("inputs", service.limits.texts)]
    special = fields.flag("add_special_tokens", True)
    note["texts"] = len(texts)
    if sum(map(len, texts)) > _MOST_CHARACTERS:
        raise InputError(
            f"the texts have more than {_MOST_CHARACTERS} characters together; send several "
            "requests",
            param="inputs",
        )

    answer = await service.tokenize(texts, special=special)
    return Response(answer, media_type=JSON)


def _other_task(model: str) -> Callable[..., Awaitable[Response]]:
    async def refuse(service: Service, body: Any, note: dict[str, Any]) -> Response:
        raise OtherTaskError(f"model is not {model}: it embeds texts; /openapi.json lists routes")

    return refuse


# Routes that TEI has for models of other kinds, and its words about a model of ours.
OTHER_TASKS = {
    "/predict": _other_task("a classifier model"),
    "/embed_sparse": _other_task("an embedding model with SPLADE pooling"),
}


async def info(service: Service, request: Request) -> Response:
    """GET /info: what is served, and its limits."""
    model, limits = service.model, service.limits
    return json_response(
        {
            "model_id": model.names[0],
            "model_sha": None,
            "model_dtype": model.compute_type,
            "model_type": {"embedding": {"pooling": model.pooling}},
            "space_id": model.space_id,
            "dimensions": service.dimensions,
            "max_input_length": service.transformer.max_seq_length,
            "max_client_batch_size": limits.texts,
            "max_body_bytes": limits.body_bytes,
            "max_queue_texts": limits.queue_texts,
            "auto_truncate": service.auto_truncate,
            "reranker": service.reranker_facts,
            "isa": model.isa,
            "threads": model.threads,
            "version": __version__,
        }
    )


def _read(service: Service, body: Any, known: tuple[str, ...]) -> Fields:
    """Return a request's fields; a model that it names has to be the one that is served."""
    fields = Fields(body, (*known, "model"), service.foreign_fields)
    service.check_name(fields.text("model", service.model.names[0]))
    return fields


def _truncate(service: Service, fields: Fields) -> bool:
    fields.choice("truncation_direction", ("Right", "right"))
    return fields.truncation("truncate", service.auto_truncate)
