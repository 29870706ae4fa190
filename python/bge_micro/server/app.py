"""The application: its routes, and the way of every request through it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from bge_micro.server import ollama_api, openai_api, rerank_api, site, tei_api
from bge_micro.server.access import EVERYBODY, NOTE, AccessLog, Admission
from bge_micro.server.body import BodyReader
from bge_micro.server.errors import (
    COHERE,
    OPENAI,
    ErrorStyle,
    InternalError,
    RequestError,
    UnavailableError,
    style_of,
)
from bge_micro.server.logs import place_of
from bge_micro.server.service import Service

_log = logging.getLogger(__name__)

Get = Callable[[Service, Request], Awaitable[Response]]
Post = Callable[[Service, Any, dict[str, Any]], Awaitable[Response]]


def build_app(service: Service, admission: Admission = EVERYBODY) -> ASGIApp:
    """Return the ASGI application; its lifespan starts and ends the threads.

    Args:
        service: What it serves.
        admission: Who may ask.
    """
    bodies = BodyReader(service.limits, service.transformer.max_seq_length, service.held.bodies)

    def get(path: str, handler: Get, *, public: bool = False) -> Route:
        async def handle(request: Request) -> Response:
            return await handler(service, request)

        check = partial(admission.check, public=public)
        return Route(path, _Endpoint(path, handle, check, style_of(path)), methods=["GET"])

    def post(path: str, handler: Post, *, style: ErrorStyle | None = None) -> Route:
        async def handle(request: Request) -> Response:
            try:
                body = await bodies.read(request)
                return await handler(service, body, request.scope[NOTE])
            finally:
                bodies.release(request)

        check = partial(admission.check, public=False)
        style = style or style_of(path)
        return Route(path, _Endpoint(path, handle, check, style), methods=["POST"])

    interfaces = [
        post("/v1/embeddings", openai_api.embeddings),
        post("/embed", tei_api.embed),
        post("/", tei_api.root),
        post("/invocations", tei_api.root),
        post("/embeddings", openai_api.embeddings, style=OPENAI),
        post("/similarity", tei_api.similarity),
        post("/tokenize", tei_api.tokenize),
        post("/rerank", rerank_api.rerank),
        post("/v1/rerank", rerank_api.rerank_documents, style=COHERE),
        post("/v2/rerank", rerank_api.rerank_documents, style=COHERE),
        *(post(path, handler) for path, handler in tei_api.OTHER_TASKS.items()),
        post("/api/embed", ollama_api.embed),
        post("/api/embeddings", ollama_api.embeddings),
        post("/api/show", ollama_api.show),
        get("/api/tags", ollama_api.tags),
        get("/api/ps", ollama_api.running),
        get("/api/version", ollama_api.version),
        get("/info", tei_api.info),
        get("/v1/models", openai_api.models),
        get("/v1/models/{name:path}", openai_api.model),
    ]
    own = [
        get("/health", site.health, public=True),
        get("/ping", site.health, public=True),
        get("/metrics", site.metrics),
        get("/openapi.json", site.openapi, public=True),
        *(
            get(path, site.page_file(*file), public=True)  # it asks for the key by itself
            for path, file in site.PAGE_FILES.items()
        ),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # anyio imports its half for asyncio when first used: now, because a request may come when
        # no descriptor is left to read it by.
        await anyio.sleep(0)
        service.start()
        watching = asyncio.create_task(service.watch())
        try:
            yield
        finally:
            watching.cancel()
            await anyio.to_thread.run_sync(service.stop)

    app = Starlette(
        routes=[*interfaces, *own],
        lifespan=lifespan,
        exception_handlers={HTTPException: _no_such_route},
    )
    app.router.redirect_slashes = False
    app.router.default = _without_spare_slashes(interfaces)
    return AccessLog(admission.open_to_origins(app), service.metrics)


class _Endpoint:
    """A route's ASGI application: check, handler, and errors in the style of its interface."""

    def __init__(
        self,
        path: str,
        handle: Callable[[Request], Awaitable[Response]],
        check: Callable[[Request], None],
        style: ErrorStyle,
    ) -> None:
        self.path = path
        self._handle = handle
        self._check = check
        self._style = style

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            self._check(request)
            response = await self._handle(request)
        except RequestError as error:
            response = self._style.response(error)
        except asyncio.CancelledError:
            if await request.is_disconnected():
                raise
            response = self._style.response(UnavailableError("the server is about to stop"))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic in Rust, for one, is no Exception
            _log.error("handler failed", extra={"fields": place_of(error)})
            response = self._style.response(InternalError("internal error; see the server's log"))
        await response(scope, receive, send)


def _without_spare_slashes(routes: Sequence[Route]) -> ASGIApp:
    """Return what looks for a path that no route has: the routes again, with single slashes.

    Clients join an address that ends with a slash to a path that begins with one, or add one at the
    end. Other routes have one spelling only, because a proxy may forbid one.
    """
    router = Router(routes, redirect_slashes=False)

    async def route_again(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = "/" + "/".join(filter(None, scope["path"].split("/")))
        await router(scope, receive, send)

    return route_again


async def _no_such_route(request: Request, error: Exception) -> Response:
    """Answer what Starlette finds no route for: 404, and 405 with the methods that there are."""
    assert isinstance(error, HTTPException)
    scope = request.scope
    headers = error.headers
    if error.status_code == 405:
        message = "no such method here; see the Allow header"
        # A path may have a route for each method.
        routes = (
            route for route in scope["router"].routes if route.matches(scope)[0] is not Match.NONE
        )
        headers = {"Allow": ", ".join(sorted({way for route in routes for way in route.methods}))}
    else:
        message = "no such route; /openapi.json lists them"
    answer = RequestError(message, status=error.status_code, headers=headers)
    return style_of(scope["path"]).response(answer)
