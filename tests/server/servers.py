"""Real servers on free ports of this machine: in a thread, or as a process."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import uvicorn

from bge_micro import SentenceTransformer
from bge_micro.server.access import EVERYBODY, Admission
from bge_micro.server.description import describe
from bge_micro.server.limits import Limits
from bge_micro.server.run import Address, configure
from bge_micro.server.service import Service
from patience import PATIENCE


@dataclass
class Running:
    """A server in a thread of this process."""

    url: str
    service: Service

    def client(self, **options: Any) -> httpx.Client:
        """Return a client that checks of every answer that /openapi.json has its status."""
        hooks = {"response": [self._check_described]}
        return httpx.Client(
            base_url=self.url, timeout=PATIENCE, trust_env=False, event_hooks=hooks, **options
        )

    def _check_described(self, answer: httpx.Response) -> None:
        request = answer.request
        operations = describe(self.service)["paths"].get(request.url.path, {})
        operation = operations.get(request.method.lower())
        if operation is None or not answer.headers["content-type"].startswith("application/json"):
            return
        assert str(answer.status_code) in operation["responses"], (request.url, answer.status_code)


@contextmanager
def running(
    model: SentenceTransformer,
    limits: Limits | None = None,
    admission: Admission = EVERYBODY,
    **options: Any,
) -> Iterator[Running]:
    """Serve a model until the block ends."""
    service = Service(model, ["bge-micro-v2", "other/name"], limits or Limits(), **options)
    listener = Address("127.0.0.1", 0).listen()
    server = uvicorn.Server(configure(service, admission))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread.start()
    deadline = time.monotonic() + PATIENCE
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield Running(url, service)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
    assert not thread.is_alive()


@contextmanager
def behind_prefix(server: Running, prefix: str) -> Iterator[str]:
    """Run a proxy that passes on what is below a prefix, without it; yield the prefix's URL."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            inside = self.path.startswith(prefix + "/")
            path = self.path.removeprefix(prefix) if inside else "/outside"
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            kind = {"content-type": self.headers.get("content-type", "text/plain")}
            answer = httpx.request(
                self.command, server.url + path, content=body, headers=kind, trust_env=False
            )
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_GET  # the names that http.server looks for

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}{prefix}"
        finally:
            proxy.shutdown()
            thread.join(PATIENCE)


@dataclass
class ServerProcess:
    """`bge-micro serve` as a process; its log is read by a thread."""

    process: subprocess.Popen[bytes]
    lines: list[dict[str, Any]]
    reader: threading.Thread

    @property
    def url(self) -> str:
        return str(self.lines[0]["url"])

    def wait(self) -> int:
        code = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return code


Start = Callable[..., ServerProcess]
