"""Settings of tests of properties: how long an example takes is no failure."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings


def examples(count: int, **options: Any) -> settings:
    """Return the settings of a test of so many examples; a busy machine may take any time."""
    slow = [HealthCheck.too_slow]
    return settings(max_examples=count, deadline=None, suppress_health_check=slow, **options)
