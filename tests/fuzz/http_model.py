"""How requests have to be read: a small strict model of HTTP, for the fuzzing of the reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Request(NamedTuple):
    """What the application gets to see."""

    method: bytes
    path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Read(NamedTuple):
    """A step of the model: a request, or None for a refusal.

    Attributes:
        request: The request.
        doubtful: Whether it may be refused as well.
        broken: Whether it is refused for its body, when it may have been answered already.
    """

    request: Request | None
    doubtful: bool = False
    broken: bool = False


_START = re.compile(rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE) +([!-~]+) +HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]*)(:[0-9]{0,5})?")
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)(;[^\r\n]*)?\r\n")
_ONCE = {
    *(b"authorization", b"content-encoding", b"content-length", b"content-type"),
    *(b"expect", b"host", b"origin", b"transfer-encoding"),
}


def read(data: bytes) -> Iterator[Read]:
    """Read requests one by one; ends where more has to come, or nothing is read any more."""
    at = 0
    while True:
        while data[at : at + 1] in (b"\r", b"\n") and at < len(data):
            at += 1
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            return  # perhaps refused already
        start, *lines = data[at:end].split(b"\r\n")
        at = end + 4
        if start.startswith(b"PRI "):
            return  # HTTP/2, refused after some more
        line = _START.fullmatch(start)
        fields = [_FIELD.fullmatch(field) for field in lines]
        if line is None or None in fields:
            yield Read(None)
            return
        method, target, minor = line.groups()
        headers = tuple(
            (field[1].lower(), field[2].rstrip(b" \t")) for field in fields if field is not None
        )
        target_read = _target(target, dict(headers).get(b"host"))
        if target_read is None or not _clear(headers, minor):
            yield Read(None)
            return
        path, query, doubtful = target_read
        values = dict(headers)
        # An upgrade is ignored; whether its header is shown to the application means nothing.
        shown = tuple(header for header in headers if header[0] != b"upgrade")
        request = Request(method, path, query, shown, b"")
        length = values.get(b"content-length")
        if length is not None:
            size = int(length)
            if at + size > len(data):
                yield Read(request, doubtful=True, broken=True)  # not yet complete
                return
            body, at = data[at : at + size], at + size
        elif b"transfer-encoding" in values:
            chunks = _chunks(data, at)
            if chunks is None:
                yield Read(request, doubtful=True, broken=True)
                return
            body, at, unclear = chunks
            doubtful |= unclear
        else:
            body = b""
        yield Read(request._replace(body=body), doubtful)
        expects = minor == b"1" and b"expect" in values
        if minor == b"0" or b"close" in _connection(headers) or expects:
            return


def _connection(headers: tuple[tuple[bytes, bytes], ...]) -> set[bytes]:
    return {
        token.strip(b" \t").lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    }


def _target(target: bytes, host: bytes | None) -> tuple[bytes, bytes, bool] | None:
    """Return path, query, and whether the form is one that may be refused."""
    doubtful = False
    if not target.startswith(b"/"):
        absolute = re.fullmatch(rb"(?i:https?)://([^/?#]*)(.*)", target)
        if absolute is None or (host is not None and absolute[1].lower() != host.lower()):
            return None
        target = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
        doubtful = True
    if b"#" in target:
        return None
    path, _, query = target.partition(b"?")
    return path, query, doubtful


def _clear(headers: tuple[tuple[bytes, bytes], ...], minor: bytes) -> bool:
    names = [name for name, _ in headers]
    values = dict(headers)
    length = values.get(b"content-length", b"0")
    coding = values.get(b"transfer-encoding")
    return (
        all(names.count(name) <= 1 for name in _ONCE)
        and (minor == b"0" or b"host" in values)
        and (not values.get(b"host") or _HOST.fullmatch(values[b"host"]) is not None)
        and re.fullmatch(rb"[0-9]+", length) is not None
        and int(length) < 1 << 64
        and (coding is None or (coding.lower() == b"chunked" and minor == b"1"))
        and (coding is None or b"content-length" not in values)
        and values.get(b"expect", b"100-continue").lower() == b"100-continue"
        and len(headers) <= 128
    )


def _chunks(data: bytes, at: int) -> tuple[bytes, int, bool] | None:
    """Return a body, its end, and whether it may be refused; None if it is broken or cut short."""
    body = b""
    doubtful = False
    while True:
        chunk = _CHUNK.match(data, at)
        if chunk is None:
            return None
        size = int(chunk[1], 16)
        doubtful |= chunk[2] is not None or len(chunk[1]) > 15
        at = chunk.end()
        if size == 0:
            break
        if data[at + size : at + size + 2] != b"\r\n":
            return None
        body += data[at : at + size]
        at += size + 2
    while data[at : at + 2] != b"\r\n":  # headers behind the body, which are dropped
        end = data.find(b"\r\n", at)
        if end < 0 or not _FIELD.fullmatch(data[at:end]):
            return None
        doubtful = True
        at = end + 2
    return body, at + 2, doubtful
