"""JSON that people can read, a value a line."""

from __future__ import annotations

import json
from typing import Any

# Some readers end a line at these too, as `str.splitlines` does.
_LINE_ENDS = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}


def json_line(value: Any) -> str:
    """Return a value as JSON in one line, with its letters as they are if they are UTF-8."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(value)
    return text.translate(_LINE_ENDS)
