"""Errors of requests, in the forms of the interfaces. No text is ever quoted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson
from starlette.responses import Response

JSON = "application/json"
TRY_AGAIN = {"Retry-After": "1"}  # seconds


class RequestError(Exception):
    """A request that cannot be served: a status, and what to do about it."""

    status = 400
    openai_type = "invalid_request_error"
    openai_code: str | None = None
    tei_type = "Validation"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the error.

        Args:
            message: For people. It may name fields and rows, but not quote them.
            status: Over the class's own.
            param: The field that is at fault.
            headers: To send with it.
        """
        super().__init__(message)
        self.status = self.status if status is None else status
        self.param = param
        self.headers = headers


class InputError(RequestError):
    """A field with a wrong value: status 422 in TEI's interface, 400 in the others."""


class UnknownModelError(RequestError):
    """Another model than the one that is served was asked for."""

    status = 404
    openai_code = "model_not_found"


class OtherTaskError(RequestError):
    """A route of TEI for models of another kind."""

    status = 424
    tei_type = "Backend"


class UnauthorizedError(RequestError):
    """No API key, or a wrong one."""

    status = 401
    openai_code = "invalid_api_key"
    tei_type = "Unauthorized"


class OverloadedError(RequestError):
    """The queue is full: try again."""

    status = 429
    openai_type = "rate_limit_error"
    openai_code = "queue_full"
    tei_type = "Overloaded"


class UnavailableError(RequestError):
    """The server cannot take more for now, or is about to stop."""

    status = 503
    openai_type = "server_error"
    tei_type = "Unhealthy"


class InternalError(RequestError):
    """A mistake of ours, whose details are in the log."""

    status = 500
    openai_type = "server_error"
    tei_type = "Backend"


def _openai_body(error: RequestError) -> object:
    return {
        "error": {
            "message": str(error),
            "type": error.openai_type,
            "param": error.param,
            "code": error.openai_code,
        }
    }


def _tei_body(error: RequestError) -> object:
    return {"error": str(error), "error_type": error.tei_type}


def _cohere_body(error: RequestError) -> object:
    return {"message": str(error)}


def _ollama_body(error: RequestError) -> object:
    return {"error": str(error)}


@dataclass(frozen=True)
class ErrorStyle:
    """How an interface tells errors: `input_status` is that of an InputError."""

    input_status: int
    body: Callable[[RequestError], object]

    def response(self, error: RequestError) -> Response:
        """Return the answer that tells an error."""
        status = self.input_status if isinstance(error, InputError) else error.status
        return Response(orjson.dumps(self.body(error)), status, error.headers, JSON)


OPENAI = ErrorStyle(400, _openai_body)
TEI = ErrorStyle(422, _tei_body)
COHERE = ErrorStyle(400, _cohere_body)
OLLAMA = ErrorStyle(400, _ollama_body)


def style_of(path: str) -> ErrorStyle:
    """Return the style of a path's interface, whether it has a route or not."""
    if path.startswith("/v1/"):
        return OPENAI
    return OLLAMA if path.startswith("/api/") else TEI
