"""The process of a server: its socket, its signals, and uvicorn between them."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

import uvicorn

from bge_micro.server.access import Admission
from bge_micro.server.app import build_app
from bge_micro.server.connection import guarded_by
from bge_micro.server.logs import start_logging
from bge_micro.server.service import Service

# How long a shutdown waits for clients that are slow to read their answers.
_SHUTDOWN_SECONDS = 60
# How long the engine's thread may hold the interpreter while the event loop waits for it. Python's
# default of 5 ms would be longer than most requests.
_SWITCH_SECONDS = 0.0005

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int

    def listen(self) -> socket.socket:
        """Return a listening socket.

        Raises:
            OSError: The address is taken, not ours, or not known; it is named.
        """
        try:
            family, *_, place = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            # The address :: means every address of this machine, in IPv4 too.
            dual = place[0] == "::" and socket.has_dualstack_ipv6()
            return socket.create_server(place[:2], family=family, backlog=2048, dualstack_ipv6=dual)
        except OSError as error:
            name = f"{self.host}:{self.port}"
            raise OSError(error.errno, error.strerror or str(error), name) from None


def configure(service: Service, admission: Admission) -> uvicorn.Config:
    """Return uvicorn's configuration for an application that serves `service`."""
    return uvicorn.Config(
        build_app(service, admission),
        http=guarded_by(service.limits, service.metrics, service.held),
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )


def run_server(service: Service, address: Address, admission: Admission, log_level: str) -> None:
    """Serve until SIGINT or SIGTERM; then answer what has come in, and return.

    Args:
        service: What to serve.
        address: Where.
        admission: Who may ask.
        log_level: "debug", "info" or "warning".

    Raises:
        OSError: The address cannot be listened on.
        KeyboardInterrupt: After a SIGINT.
        SystemExit: With code 0, after a SIGTERM.
    """
    listener = address.listen()
    start_logging(log_level)
    sys.setswitchinterval(_SWITCH_SECONDS)
    # At a signal uvicorn finishes its work, then raises the signal again for the earlier handler.
    signal.signal(signal.SIGTERM, _exit)
    try:
        _Server(configure(service, admission), service.model.names[0]).run(sockets=[listener])
    finally:
        _log.info("stopped")


class _Server(uvicorn.Server):
    """uvicorn's server, which says in our log when it is there."""

    def __init__(self, config: uvicorn.Config, model_name: str) -> None:
        super().__init__(config)
        self._model_name = model_name

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            fields = {"url": f"http://{shown}:{port}/", "model": self._model_name}
            _log.info("listening", extra={"fields": fields})


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)
