"""Around every request: who may ask, and the line and the numbers that are kept of it."""

from __future__ import annotations

import hmac
import logging
import time
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bge_micro.server.errors import UnauthorizedError
from bge_micro.server.metrics import Metrics

# The key of a request's scope under which handlers leave numbers for the log.
NOTE = "bge_micro.note"

_log = logging.getLogger(__name__)


def check_key(request: Request, key: bytes | None) -> None:
    """Raise an UnauthorizedError unless the request has the API key, if there is one."""
    if key is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # In constant time: how long it takes does not tell how much of a guess was right.
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), key):
        raise UnauthorizedError(
            "this server needs its API key, as Authorization: Bearer KEY",
            headers={"WWW-Authenticate": "Bearer"},
        )


class AccessLog:
    """Counts and logs requests: method, route, status, time and numbers, never what was sent."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Wrap an application."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0
        note: dict[str, Any] = {}
        scope[NOTE] = note

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_see)
        finally:
            seconds = time.perf_counter() - start
            # The route, not the path: people put texts into paths, too.
            route = getattr(scope.get("endpoint"), "path", "other")
            self._metrics.count_request(route, status, seconds)
            if _log.isEnabledFor(logging.INFO):
                fields = {
                    "method": scope["method"],
                    "route": route,
                    "status": status,
                    "ms": round(1000 * seconds, 3),
                    **note,
                }
                _log.info("request", extra={"fields": fields})
