"""Log lines: one JSON object each, on standard error, and never a text of a request in them."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from typing import Any

import orjson

# uvicorn tells here when requests are no HTTP, and little else that is not told by `run`; asyncio,
# when no descriptor is left.
_OTHERS = ("uvicorn.error", "asyncio")


class JsonFormatter(logging.Formatter):
    """Formats a record and the dict in its attribute `fields` as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1]:
            fields |= place_of(record.exc_info[1])
        return orjson.dumps(fields, default=str).decode()


def start_logging(level: str) -> None:
    """Send the server's log lines to standard error.

    Args:
        level: "debug", "info" or "warning"; each request is a line of level info.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("bge_micro.server", *_OTHERS):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel("WARNING" if name in _OTHERS else level.upper())


def place_of(error: BaseException) -> dict[str, Any]:
    """Tell an exception's type and where it was raised; its message may quote a text."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": type(error).__name__,
        "where": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
