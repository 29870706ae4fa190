"""Reranking as TEI and as Cohere and Jina offer it: texts in the order of their scores for a query.

Scores are between 0 and 1, the sigmoid of what the model gives, as TEI has it.
"""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from bge_micro.server.errors import JSON, InputError
from bge_micro.server.fields import Fields
from bge_micro.server.service import Service

_TEI = ("query", "texts", "raw_scores", "return_text", "truncate", "truncation_direction", "model")
_COHERE = ("model", "query", "documents", "top_n", "return_documents", "truncate")


async def rerank(service: Service, body: Any, note: dict[str, Any]) -> Response:
    """POST /rerank: TEI's form, or Cohere's, which has documents instead of texts."""
    if isinstance(body, dict) and "documents" in body:
        return await rerank_documents(service, body, note)
    reranker = service.reranker()
    fields = Fields(body, _TEI, reranker.foreign_fields)
    reranker.check_name(fields.text("model", reranker.names[0]))
    fields.choice("truncation_direction", ("Right", "right"))
    query, texts = fields.text("query"), fields.listed_texts("texts", service.limits.texts)
    raw, with_text = fields.flag("raw_scores", False), fields.flag("return_text", False)
    scored = await service.score(
        query, texts, note, truncate=fields.truncation("truncate", service.auto_truncate)
    )
    scores = scored.logits if raw else scored.scores
    return _answer(
        [
            {"index": row, **({"text": texts[row]} if with_text else {}), "score": scores[row]}
            for row in scored.order
        ]
    )


async def rerank_documents(service: Service, body: Any, note: dict[str, Any]) -> Response:
    """POST /v1/rerank and /v2/rerank, which Cohere's and Jina's clients call."""
    reranker = service.reranker()
    fields = Fields(_with_texts(body), _COHERE, reranker.foreign_fields)
    reranker.check_name(fields.text("model", reranker.names[0]))
    query, texts = fields.text("query"), fields.listed_texts("documents", service.limits.texts)
    best, with_text = fields.whole("top_n", 1 << 30), fields.flag("return_documents", False)
    scored = await service.score(
        query, texts, note, truncate=fields.truncation("truncate", service.auto_truncate)
    )
    results = [
        {
            "index": row,
            "relevance_score": scored.scores[row],
            **({"document": {"text": texts[row]}} if with_text else {}),
        }
        for row in scored.order[:best]
    ]
    usage = {"prompt_tokens": scored.tokens, "total_tokens": scored.tokens}
    return _answer({"model": reranker.names[0], "results": results, "usage": usage})


def _with_texts(body: Any) -> Any:
    """Return a request whose documents are strings, where they were objects with a text."""
    if not isinstance(body, dict) or not isinstance(body.get("documents"), list):
        return body
    texts = []
    for row, document in enumerate(body["documents"]):
        text = document.get("text") if isinstance(document, dict) else document
        if not isinstance(text, str):
            raise InputError(
                f"documents[{row}]: expected a string, or an object with a string called text",
                param="documents",
            )
        texts.append(text)
    return {**body, "documents": texts}


def _answer(value: Any) -> Response:
    # Float32 scores get the fewest digits that give them back.
    return Response(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), media_type=JSON)
