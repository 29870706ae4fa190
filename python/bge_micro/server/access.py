"""Admission of requests, and the log line and metrics of each.

A browser lets any page send requests to this machine. It gives the page the answers only if the
server allows the page's origin. The owner of a page can make its name point to this machine (DNS
rebinding): then the page has the same origin, but the Host header has its name.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bge_micro.server.errors import RequestError, UnauthorizedError
from bge_micro.server.metrics import Metrics

# The status that is logged and counted for requests whose clients left, as nginx has it.
CLIENT_LEFT = 499

# The key of a request's scope under which handlers leave numbers for the log.
NOTE = "bge_micro.note"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Admission:
    """Which requests are admitted.

    Attributes:
        api_key: The key that clients must send; None admits all.
        hosts: The names that the Host header may have besides IP addresses; None allows all.
        origins: The origins whose pages may read answers in a browser; "*" means all.
    """

    api_key: str | None = None
    hosts: Collection[str] | None = None
    origins: Collection[str] = ()

    def check(self, request: Request, *, public: bool) -> None:
        """Raise a RequestError unless the request names this server, and has the key if needed."""
        name = _name_of(request.headers.get("host", ""))
        if self.hosts is not None and name not in self.hosts and not _is_address(name):
            raise RequestError(
                "this server does not go by the name in the Host header; bge-micro serve "
                "--allowed-host adds a name",
                status=421,
            )
        if public or self.api_key is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # In constant time, so that the time does not reveal how much of a guess is right.
        right = hmac.compare_digest(given.strip().encode(), self.api_key.encode())
        if scheme.lower() != "bearer" or not right:
            raise UnauthorizedError(
                "this server needs its API key, as Authorization: Bearer KEY",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def open_to_origins(self, app: ASGIApp) -> ASGIApp:
        """Return an application that also tells browsers which pages may read its answers."""
        if not self.origins:
            return app
        return CORSMiddleware(
            app,
            allow_origins=list(self.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After", "X-Truncated-Texts"],
        )


EVERYBODY = Admission()


def hosts_for(address: str, allowed: Collection[str]) -> Collection[str] | None:
    """Return the names that a server at an address goes by, beside those that are allowed.

    Without any that are allowed, a server that others can reach goes by every name.
    """
    names = {name.lower() for name in allowed}
    if address == "localhost" or (_is_address(address) and _is_loopback(address)):
        return names | {"localhost"}
    return names | {address.lower()} if names else None


def _name_of(host: str) -> str:
    """Return a Host header without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host.removesuffix(":")).lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return not name  # HTTP/1.0 has no Host header, and no browser uses it
    return True


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


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
        except asyncio.CancelledError:
            status = status or CLIENT_LEFT
            raise
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
