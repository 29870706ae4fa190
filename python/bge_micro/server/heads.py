"""A request's head: what has to be clear of it before anything of the request is used.

llhttp, the parser in httptools, is strict about lines, names, Content-Length and chunks. What it
leaves open and a proxy in front may read in another way is refused here, because two readings of
one request are how a client reaches what a proxy forbids it, or gets another client's answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

Headers = Sequence[tuple[bytes, bytes]]

_METHODS = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"QUERY"},
)
# Of these, one reader would take the first and another the last.
_ONCE = frozenset(
    {
        *(b"authorization", b"content-encoding", b"content-length", b"content-type"),
        *(b"expect", b"host", b"origin", b"transfer-encoding"),
    }
)
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]*)(:[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)


class Refusal(NamedTuple):
    """Why a connection is closed, for the answer before that."""

    status: HTTPStatus
    message: str


def refusal_of(method: bytes, version: str, headers: Headers) -> Refusal | None:
    """Say what is wrong with a request's method, version or headers; None if nothing is."""
    if method not in _METHODS:  # CONNECT above all, after which no HTTP would follow
        return Refusal(HTTPStatus.NOT_IMPLEMENTED, "this method is not known")
    if version not in ("1.0", "1.1"):
        return Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1")
    values = dict(headers)
    if len(values) < len(headers):
        names = [name for name, _ in headers]
        for name in _ONCE & values.keys():
            if names.count(name) > 1:
                return _bad(f"there is more than one {name.decode()} header")
    host = values.get(b"host")
    if host is None and version == "1.1":
        return _bad("there is no Host header")
    if host and not _HOST.fullmatch(host.strip()):
        return _bad("the Host header is no name or address")
    coding = values.get(b"transfer-encoding")
    if coding is not None:
        if version == "1.0":
            return _bad("HTTP/1.0 has no Transfer-Encoding")
        if coding.strip().lower() != b"chunked":
            return Refusal(HTTPStatus.NOT_IMPLEMENTED, "the only Transfer-Encoding is chunked")
    expect = values.get(b"expect")
    if expect is not None and expect.strip().lower() != b"100-continue":
        return Refusal(HTTPStatus.EXPECTATION_FAILED, "the only Expect is 100-continue")
    return None


def path_of(target: bytes, headers: Headers) -> bytes | None:
    """Return path and query of a request's target; None if it has none or names another host."""
    if b"#" in target:
        return None
    if target.startswith(b"/"):
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        return None
    host, path = absolute.groups()
    if host.lower() != dict(headers).get(b"host", host).strip().lower():
        return None
    return path if path.startswith(b"/") else b"/" + path


def without_upgrade(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """Write a head again, without the wish to go on in another protocol.

    A server may ignore it (RFC 9110 section 7.8) and this one does. The parser cannot: it would
    take the request for one without a body.
    """
    lines = [b"%b: %b\r\n" % header for header in headers if header[0] != b"upgrade"]
    start = b"%b %b HTTP/%b\r\n" % (method, target, version.encode())
    return b"".join([start, *lines, b"\r\n"])


def _bad(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, message)
