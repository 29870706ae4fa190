"""A load client: some connections to a server on this machine; each sends the next request when the
last is answered.

It uses asyncio's protocols directly, because a client library would take longer for a request than
the server does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """The result of a load.

    Attributes:
        seconds: From the first request to the last answer.
        latencies: Seconds of each answered request, sorted.
    """

    seconds: float
    latencies: Sequence[float]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the latency that a share of the requests did not exceed."""
        return self.latencies[min(int(share * len(self.latencies)), len(self.latencies) - 1)]


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: Sequence[bytes], first: int, stop: float) -> None:
        self._requests = requests
        self._next = first
        self._stop = stop
        self._buffer = b""
        self._sent = 0.0
        self.latencies: list[float] = []
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            self.done.set_exception(RuntimeError(f"unexpected answer: {self._buffer[:400]!r}"))
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        now = time.perf_counter()
        self.latencies.append(now - self._sent)
        self._buffer = b""
        if now < self._stop:
            self._send()
        else:
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError("the server closed the connection"))

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._requests[self._next % len(self._requests)])  # type: ignore[attr-defined]
        self._next += 1

    def close(self) -> None:
        self._transport.close()


async def load(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Send requests from some clients for some seconds, and wait for the last answers."""
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    connections = []
    for number in range(clients):
        first = number * len(requests) // clients
        _, client = await loop.create_connection(
            lambda first=first: _Client(requests, first, start + seconds), "127.0.0.1", port
        )
        connections.append(client)
    try:
        await asyncio.gather(*(client.done for client in connections))
        elapsed = time.perf_counter() - start
    finally:
        for client in connections:
            client.close()
    return Load(elapsed, sorted(time for client in connections for time in client.latencies))


def post(path: str, body: bytes) -> bytes:
    """Return the bytes of a request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
