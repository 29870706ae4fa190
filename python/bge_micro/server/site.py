"""Routes of this server only: the page, health, metrics and the interface's description."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from bge_micro.server.answers import json_response
from bge_micro.server.description import describe
from bge_micro.server.errors import UnavailableError
from bge_micro.server.metrics import CONTENT_TYPE
from bge_micro.server.service import Service

_HTML, _CSS, _JS = (f"text/{kind}; charset=utf-8" for kind in ("html", "css", "javascript"))
_SCRIPTS = ("arithmetic.js", "heat.js", "map.js", "page.js", "interface.js")
PAGE_FILES = {
    "/": ("index.html", _HTML),
    "/interface.html": ("interface.html", _HTML),
    "/page.css": ("page.css", _CSS),
    **{f"/{name}": (name, _JS) for name in _SCRIPTS},
}
# Nothing but this server's own files and answers; the icon is in the page.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def page_file(name: str, content_type: str) -> Callable[[Service, Request], Awaitable[Response]]:
    """Return a handler that gives a file of the page."""
    content = files(__package__).joinpath("page", name).read_bytes()

    async def give(service: Service, request: Request) -> Response:
        return Response(content, headers={**_PAGE_HEADERS, "Content-Type": content_type})

    return give


async def health(service: Service, request: Request) -> Response:
    """GET /health: 200 as long as texts are taken and encoded."""
    if not service.alive:
        raise UnavailableError("texts are not encoded: a thread has stopped, or is stuck")
    return json_response({"status": "ok"})


async def metrics(service: Service, request: Request) -> Response:
    """GET /metrics, for Prometheus."""
    return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})


async def openapi(service: Service, request: Request) -> Response:
    """GET /openapi.json: the description of this server."""
    return json_response(describe(service))
