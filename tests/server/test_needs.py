"""What the server's tests need is installed; they are left out otherwise."""

from __future__ import annotations

import pytest

from .conftest import NEEDED


@pytest.mark.parametrize("name", [*NEEDED, "playwright"])
def test_installed(name: str) -> None:
    pytest.importorskip(name, reason=f"{name} is missing: pip install '.[test]'")
