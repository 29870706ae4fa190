"""Fixtures for the tests of the core."""

from __future__ import annotations

import pytest

from core.isas import SUPPORTED


@pytest.fixture(params=SUPPORTED)
def isa(request: pytest.FixtureRequest) -> str:
    """Run the test once for every instruction set that this CPU has."""
    name: str = request.param
    return name
