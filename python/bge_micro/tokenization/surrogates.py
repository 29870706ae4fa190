"""Surrogates, which a Python string may hold but UTF-8 cannot encode."""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def replace_surrogates(text: str) -> str:
    """Return `text` with U+FFFD for every surrogate, which UTF-8 cannot encode."""
    return _SURROGATE.sub("\ufffd", text)
