"""Requests: whatever the path, headers and body, the answer is sound and repeats no text.

The first three bytes of an input choose path, headers and how the body comes; the rest is the body.
Everything behind the HTTP parser is real: routes, key, body, fields, engine, over a tiny model.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import random
import re
import tempfile
from pathlib import Path
from typing import Any

from api.tiny_model import write_tiny_model
from bge_micro import SentenceTransformer
from bge_micro.server.access import Admission
from bge_micro.server.app import build_app
from bge_micro.server.limits import Limits
from bge_micro.server.service import Service

from .mutation import Damage, mutate_json

KEY = "the key"
LIMITS = Limits(body_bytes=1500, texts=8, queue_texts=64)
PATHS = [
    *("/v1/embeddings", "/embed", "/similarity", "/tokenize"),
    *("/embed", "/v1/embeddings", "/info", "/v1/models", "/v1/models/tiny", "/health"),
]
CONTENT_TYPES = [b"application/json", b"Application/JSON; charset=utf-8", b"text/plain", b";", b""]
KEYS = [b"Bearer the key", b"bearer  the key ", b"Bearer the kez", b"Bearer", b"\xff", b""]
ENCODINGS = [b"identity", b"Identity", b"gzip", b""]
LENGTHS = [b"", b"0", b"1500", b"99999999999999999999", b"-1", b"\xb2", b"1e3"]

NAMES = [
    *("input", "model", "encoding_format", "dimensions", "user", "prompt_name", "inputs"),
    *("truncate", "truncation_direction", "normalize", "source_sentence", "sentences"),
    *("parameters", "add_special_tokens", "a", "xyzzy plugh", "", "é"),
]
VALUES: list[Any] = [
    *(None, True, False, "", "a b c", "xyzzy plugh", "a " * 60, "tiny", "base64", "query", "Right"),
    *("\ud83d", "é\u0301日", "\x00", "[SEP]", [], {}, [[]], ["a", "b"], [2, 5, 3], [[2, 3], [5]]),
    *(0, 1, -1, 5.0, 1.5, 64, 65, 2**31, 2**63, 2**70, 1e300, ["a"] * 9, [5] * 40, ["a", 1]),
]
STATUSES = {200, 400, 401, 404, 405, 413, 415, 422}
_WORD = re.compile(r"\W*[A-Za-z_]{1,40}\W*")

with tempfile.TemporaryDirectory() as _folder:
    _MODEL = SentenceTransformer(write_tiny_model(Path(_folder) / "tiny"), threads=1)
    _SERVICE = Service(_MODEL, ["tiny"], LIMITS)  # which reads the folder, for the space's name
_APP = build_app(_SERVICE, Admission(KEY))
_LOOP = asyncio.new_event_loop()


class _Failures(logging.Handler):
    """Mistakes of ours are answered with 500, and told in the log."""

    found: list[str]

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(f"{record.getMessage()}: {record.__dict__.get('fields')}")


_FAILURES = _Failures(logging.ERROR)
_FAILURES.found = []
logging.getLogger("bge_micro.server").addHandler(_FAILURES)
_SERVICE.start()


@atexit.register
def _stop() -> None:
    _SERVICE.stop()
    _LOOP.close()


async def ask(
    path: str, headers: list[tuple[bytes, bytes]], chunks: list[bytes]
) -> tuple[int, bytes]:
    """Return the status and the body that the application answers with."""
    scope = {
        "type": "http",
        "method": "GET" if path in PATHS[6:] else "POST",
        "path": path,
        "raw_path": b"",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
    }
    status = 0
    answer = b""

    async def receive() -> dict[str, Any]:
        if not chunks:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        nonlocal status, answer
        status = message.get("status", status)
        answer += message.get("body", b"")

    await _APP(scope, receive, send)
    return status, answer


def pick(choices: list[bytes], byte: int) -> bytes:
    """Take the first of the choices most times."""
    return choices[byte % len(choices)] if byte & 0x80 else choices[0]


def fuzz(data: bytes) -> None:
    """Send the bytes as a request and look at the answer."""
    if len(data) < 3:
        return
    path = PATHS[data[0] % len(PATHS)] if data[0] < 0xF0 else f"/{data[3:20].decode('latin-1')}"
    body = data[3:]
    headers = [
        (b"content-type", pick(CONTENT_TYPES, data[1])),
        (b"authorization", pick(KEYS, data[1] << 1 & 0xFF)),
        (b"content-encoding", pick(ENCODINGS, data[2])),
        (b"content-length", pick(LENGTHS, data[2] << 1 & 0xFF)),
    ]
    half = len(body) // 2 if data[2] & 0x10 else len(body)
    status, answer = _LOOP.run_until_complete(
        ask(path, [header for header in headers if header[1]], [body[:half], body[half:]])
    )
    failures, _FAILURES.found = _FAILURES.found, []
    assert not failures, failures
    assert status in STATUSES, (status, answer)
    found = json.loads(answer)
    if status == 200:
        check_answer(path, json.loads(body) if path in PATHS[:6] else None, found)
    else:
        check_error(path, body, found)


def check_answer(path: str, request: Any, found: Any) -> None:
    if path == "/v1/embeddings":
        assert len(found["data"]) == rows(request["input"])
        assert [row["index"] for row in found["data"]] == list(range(len(found["data"])))
    elif path == "/embed":
        assert len(found) == rows(request["inputs"])
        assert {len(vector) for vector in found} == {request.get("dimensions") or 64}
    elif path == "/similarity":
        assert len(found) == rows(request["inputs"]["sentences"])
        assert all(-1 <= score <= 1 for score in found)
    elif path == "/tokenize":
        assert len(found) == rows(request["inputs"])


def rows(value: Any) -> int:
    """Return how many vectors a field asks for."""
    return len(value) if isinstance(value, list) and type(value[0]) in (str, list) else 1


def check_error(path: str, body: bytes, found: Any) -> None:
    if path.startswith("/v1/"):
        assert found["error"].keys() == {"message", "type", "param", "code"}
        message = found["error"]["message"]
    else:
        assert found.keys() == {"error", "error_type"}
        message = found["error"]
    assert "xyzzy plugh" not in json.dumps(found)  # the first word alone may be a field's name
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return
    for text in texts_of(request):
        own = _WORD.fullmatch(text)  # which the message may have of itself
        assert len(text) < 8 or own or text not in message, text


def texts_of(value: Any) -> list[str]:
    """Return all strings in a JSON value."""
    found = []
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            left += [*one, *one.values()]
    return found


def mutate(data: bytes, most: int, rng: random.Random, damage: Damage) -> bytes:
    """Damage the bytes, or put other fields and values into the JSON; now and then another head."""
    if rng.random() < 0.2:
        data = rng.randbytes(3) + data[3:]
    return mutate_json(data, 3, most, rng, damage, NAMES, VALUES)
