"""Log lines: one JSON object each, on standard error, and never a text of a request in them.

The reader of standard error may stop reading. A full pipe would then stop the server too, so lines
without room are dropped, and a later line gives their number.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import time
import traceback
from typing import Any

import orjson

# uvicorn logs here requests that are not HTTP, and little else that `run` does not log; asyncio
# logs when no descriptor is left.
_OTHERS = ("uvicorn.error", "asyncio")
# Logs where the server listens, and its end.
_PROCESS = "bge_micro.server.run"


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


class PatientHandler(logging.Handler):
    """Writes lines to a file, pipe or terminal without ever waiting for it (POSIX)."""

    # What a pipe takes without waiting once it takes anything.
    _PIECE = getattr(select, "PIPE_BUF", 512)

    def __init__(self, file: int) -> None:
        """Write to a file descriptor, whose mode stays: other processes may share it and wait."""
        super().__init__()
        self._file = file
        self._poll = select.poll()
        self._poll.register(file, select.POLLOUT)
        self._waiting = b""  # what is next to be written: a line, or the rest of one
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or count it as dropped."""
        self._write()
        if self._waiting:
            self._dropped += 1
            return
        if self._dropped:
            self._waiting = self._line(_gap(self._dropped))
            self._dropped = 0
        self._waiting += self._line(record)
        self._write()

    def _line(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode()

    def _write(self) -> None:
        try:
            while self._waiting and self._poll.poll(0):
                size = os.write(self._file, self._waiting[: self._PIECE])
                self._waiting = self._waiting[size:]
        except OSError:  # a full disk, or a pipe without a reader
            self._waiting = b""
            self._dropped += 1


def _gap(lines: int) -> logging.LogRecord:
    record = logging.LogRecord(
        __name__, logging.WARNING, __file__, 0, "log lines dropped", None, None
    )
    record.fields = {"lines": lines}
    return record


def start_logging(level: str) -> None:
    """Send the server's log lines to standard error.

    Args:
        level: "debug", "info" or "warning"; each request is a line of level info. Whatever it is,
            on a terminal somebody waits to see where the server listens.
    """
    handler = PatientHandler(sys.stderr.fileno()) if os.name == "posix" else logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    for name in ("bge_micro.server", *_OTHERS):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel("WARNING" if name in _OTHERS else level.upper())
    logging.getLogger(_PROCESS).setLevel("INFO" if sys.stderr.isatty() else "NOTSET")


def place_of(error: BaseException) -> dict[str, Any]:
    """Tell an exception's type and where it was raised; its message may quote a text."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error": type(error).__name__,
        "where": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
